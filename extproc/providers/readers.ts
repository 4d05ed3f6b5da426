/**
 * The readers of one answer, created when it is known whether the answer streams: each has tables
 * of its own, and only one is ever used.
 */
import type { StreamReader, UnaryReader } from './adapter.ts';

export interface AnswerReaders {
  readonly unary: UnaryReader;
  readonly stream: StreamReader;
}

export function answerReaders(newUnary: () => UnaryReader, newStream: () => StreamReader): AnswerReaders {
  return new Readers(newUnary, newStream);
}

/**
 * A class, because V8 gives each object literal with getters a shape of its own in old space, which
 * keeps everything that the getters refer to.
 */
class Readers implements AnswerReaders {
  readonly #newUnary: () => UnaryReader;
  readonly #newStream: () => StreamReader;
  #unary: UnaryReader | undefined;
  #stream: StreamReader | undefined;

  constructor(newUnary: () => UnaryReader, newStream: () => StreamReader) {
    this.#newUnary = newUnary;
    this.#newStream = newStream;
  }

  get unary(): UnaryReader {
    this.#unary ??= this.#newUnary();
    return this.#unary;
  }

  get stream(): StreamReader {
    this.#stream ??= this.#newStream();
    return this.#stream;
  }
}
