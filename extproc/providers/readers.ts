/** The readers of one answer, made when it is known whether it streams: each has tables of its own, and only one of them is ever used. */
import type { StreamReader, WholeReader } from './adapter.ts';

export interface AnswerReaders {
  readonly whole: WholeReader;
  readonly stream: StreamReader;
}

export function answerReaders(newWhole: () => WholeReader, newStream: () => StreamReader): AnswerReaders {
  return new Readers(newWhole, newStream);
}

/** A class: in V8 each object literal with getters has a shape of its own, which stands in old space and keeps all that its getters see. */
class Readers implements AnswerReaders {
  readonly #newWhole: () => WholeReader;
  readonly #newStream: () => StreamReader;
  #whole: WholeReader | undefined;
  #stream: StreamReader | undefined;

  constructor(newWhole: () => WholeReader, newStream: () => StreamReader) {
    this.#newWhole = newWhole;
    this.#newStream = newStream;
  }

  get whole(): WholeReader {
    this.#whole ??= this.#newWhole();
    return this.#whole;
  }

  get stream(): StreamReader {
    this.#stream ??= this.#newStream();
    return this.#stream;
  }
}
