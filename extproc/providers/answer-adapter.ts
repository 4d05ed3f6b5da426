/**
 * The parts of an answer's adapter, created when they are first used: each has tables of its own,
 * and only some are ever needed.
 */
import type { AnswerAdapter, EventReader, StreamWriter, UnaryReader } from './adapter.ts';

interface AnswerParts {
  readonly unary: () => UnaryReader;
  readonly reader: () => EventReader;
  readonly writer: () => StreamWriter;
}

export function answerAdapter(parts: AnswerParts): AnswerAdapter {
  return new LazyAnswerAdapter(parts);
}

/**
 * A class, because V8 gives each object literal with getters a shape of its own in old space, which
 * keeps everything that the getters refer to.
 */
class LazyAnswerAdapter implements AnswerAdapter {
  readonly #parts: AnswerParts;
  #unary: UnaryReader | undefined;
  #reader: EventReader | undefined;
  #writer: StreamWriter | undefined;

  constructor(parts: AnswerParts) {
    this.#parts = parts;
  }

  get unary(): UnaryReader {
    this.#unary ??= this.#parts.unary();
    return this.#unary;
  }

  get reader(): EventReader {
    this.#reader ??= this.#parts.reader();
    return this.#reader;
  }

  get writer(): StreamWriter {
    this.#writer ??= this.#parts.writer();
    return this.#writer;
  }
}
