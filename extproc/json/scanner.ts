/**
 * Reads JSON documents as bytes, only for what a shape names. Takes pieces of any size; returns
 * positions of the named values, decoded scalars and text spans. Nothing is parsed into objects,
 * and unnamed values cost no memory.
 */
import type { Failure } from '../errors.ts';
import type { TextSink } from './text-sink.ts';

/**
 * A member or element that the shape names, with its position in the document (byte offsets over
 * all pieces).
 */
export interface JsonMatch {
  /** First byte of the key's opening quote; for an array element, of its value. */
  readonly keyStart: number;
  readonly start: number;
  readonly end: number;
  readonly kind: Kind;
  /** Strings, numbers and booleans up to 1 KB (as written), decoded; undefined for longer ones. */
  readonly value?: string | number | boolean | undefined;
  /** Index in the innermost enclosing array, from 0; -1 outside of arrays. */
  readonly element: number;
}

export type Kind = 'string' | 'number' | 'boolean' | 'null' | 'object' | 'array';

/** Matches by path of keys in the shape, for example `messages[].content[].type`. */
export interface MatchesByPath {
  /** Matches in document order; only for shapes with `value`. */
  all(path: string): readonly JsonMatch[];
  /** The last match, as most parsers would read it. */
  one(path: string): JsonMatch | undefined;
  /**
   * The number of values (of this kind) at the path, kept or not. Every node of the shape is
   * counted.
   */
  count(path: string, kind?: Kind): number;
}

/** The result of scanning one whole document. */
export interface ScannedBody extends MatchesByPath {
  /**
   * The offset after the opening brace, where members can be inserted, and whether the object is
   * empty.
   */
  readonly insertAt: number;
  readonly empty: boolean;
  readonly textBytes: number;
  /** Raw spans of non-empty text strings (contents between the quotes), in order. */
  textSpans(): SpanReader;
  /** The document in pieces. Small pieces are joined. */
  readonly bytes: readonly Uint8Array[];
}

/** Positioned before the first span until `next` is called. */
export interface SpanReader {
  readonly start: number;
  readonly end: number;
  /** Returns false after the last span. */
  next(): boolean;
}

/**
 * Scans a document in pieces. The cost of each push is proportional to its piece. Matches so far
 * can be read at any time.
 */
export interface JsonScanner extends MatchesByPath {
  /** `sink` receives the text of an `answer`. */
  push(bytes: Uint8Array, sink?: TextSink): Failure | undefined;
  finish(): ScannedBody | Failure;
  /**
   * Memory taken for the document, accurate within half of its length, without the scanner's fixed
   * size.
   */
  readonly keptBytes: number;
  /**
   * Returns the scanner for reuse. Neither the scanner nor its results may be used afterwards. Call
   * at most once.
   */
  release(): void;
}

/** Scans the body of a request. */
export type BodyScanner = Pick<JsonScanner, 'push' | 'finish' | 'keptBytes' | 'release'>;

export interface ScannerOptions {
  /**
   * - `request` (default): keeps the pieces; refuses what two parsers may read differently, and
   *   what exceeds the bounds.
   * - `answer`: keeps scalars only; each push sends its text to the sink, with one channel per
   *   string. The last of repeated keys wins.
   */
  readonly purpose?: 'request' | 'answer';
}
