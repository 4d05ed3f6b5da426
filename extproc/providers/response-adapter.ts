/**
 * The parts of a response's adapter, created when they are first used: each has tables of its own,
 * and only some are ever needed.
 */
import { AbsentStream } from './absent-stream.ts';
import type { Dialect, EventReader, ResponseAdapter, StreamWriter, UnaryReader } from './adapter.ts';

interface AdapterParts {
  readonly unary: () => UnaryReader;
  readonly reader: () => EventReader;
  readonly writer: () => StreamWriter;
  /** See `ResponseAdapter.anyBytes`. */
  readonly anyBytes?: boolean;
  /** See `ResponseAdapter.plainText`. */
  readonly plainText?: boolean;
}

export function responseAdapter(parts: AdapterParts): ResponseAdapter {
  return new LazyResponseAdapter(parts);
}

/** Returns the adapter of an API that has no streams. */
export function absentStreamAdapter(dialect: Dialect, unary: () => UnaryReader): ResponseAdapter {
  const stream = () => new AbsentStream(dialect);
  return new LazyResponseAdapter({ unary, reader: stream, writer: stream });
}

/**
 * A class, because V8 gives each object literal with getters a shape of its own in old space, which
 * keeps everything that the getters refer to.
 */
class LazyResponseAdapter implements ResponseAdapter {
  readonly #parts: AdapterParts;
  #unary: UnaryReader | undefined;
  #reader: EventReader | undefined;
  #writer: StreamWriter | undefined;

  constructor(parts: AdapterParts) {
    this.#parts = parts;
  }

  get anyBytes(): boolean {
    return this.#parts.anyBytes === true;
  }

  get plainText(): boolean {
    return this.#parts.plainText === true;
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
