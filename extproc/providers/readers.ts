/** The readers of one answer, made when it is known whether it streams: each has tables of its own, and only one of them is ever used. */
import type { StreamReader, UnaryReader } from './adapter.ts';

export interface AnswerReaders {
  readonly unary: UnaryReader;
  readonly stream: StreamReader;
}

export function answerReaders(newUnary: () => UnaryReader, newStream: () => StreamReader): AnswerReaders {
  return new Readers(newUnary, newStream);
}

/** A class: in V8 each object literal with getters has a shape of its own, which stands in old space and keeps all that its getters see. */
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
