/**
 * Reads JSON documents as bytes, for what a shape names and nothing else: pieces of any size enter; where the named values stand, what the scalars are
 * and which spans are text leave. Nothing is parsed into objects, and what is not named costs no memory.
 */
import type { Failure } from '../errors.ts';
import type { TextSink } from './text-sink.ts';

/** A member or element that the shape names, where it stands in the document (byte offsets over all pieces together). */
export interface JsonMatch {
  /** First byte of the key's opening quote; for an array element, of its value. */
  readonly keyStart: number;
  readonly start: number;
  readonly end: number;
  readonly kind: Kind;
  /** Strings, numbers and booleans up to 1 KB (as written), decoded; longer ones have none. */
  readonly value?: string | number | boolean | undefined;
  /** ScanMatch in the innermost array around it, from 0; -1 outside of all arrays. */
  readonly element?: number;
}

export type Kind = 'string' | 'number' | 'boolean' | 'null' | 'object' | 'array';

/** What was found, by path of keys in the shape: `messages[].content[].type`; `Shape.name` is another way to say a path. */
export interface MatchesByPath {
  /** In the order of the document; only for shapes with `value`. */
  all(path: string): readonly JsonMatch[];
  /** The last one, as most parsers would take it. */
  one(path: string): JsonMatch | undefined;
  /** How many values (of this kind) stood at the path, whether they were kept or not: any node of the shape has a count. */
  count(path: string, kind?: Kind): number;
}

/** What the scan of one whole document gives. */
export interface ScannedBody extends MatchesByPath {
  /** Offset just after the opening brace, where members can be put in; and whether the object is empty. */
  readonly insertAt: number;
  readonly empty: boolean;
  readonly textBytes: number;
  /** Raw spans of text strings (contents between the quotes) in their order; empty strings have none. */
  textSpans(): SpanReader;
  /** The document in pieces, not always as they came: small ones are joined. */
  readonly bytes: readonly Uint8Array[];
}

/** Stands before the first one until `next` is called. */
export interface SpanReader {
  readonly start: number;
  readonly end: number;
  /** False: there are no more. */
  next(): boolean;
}

/** Takes a document in pieces; each push costs time in proportion to its piece. What was found so far can be asked for at any time. */
export interface JsonScanner extends MatchesByPath {
  /** `sink` takes the text of an `answer`. */
  push(bytes: Uint8Array, sink?: TextSink): Failure | undefined;
  finish(): ScannedBody | Failure;
  /** Memory that is taken for the document, within half of its length, and without what a scanner has in any case. */
  readonly keptBytes: number;
  /** Gives the scanner back for another document: neither it nor anything that it gave may be used after that. Once, or not at all. */
  release(): void;
  /** Forgets the document. What `finish` or `scan` gave before is void then. */
  reset(): void;
  /** One whole small document in [start, end) of a buffer, after a reset; offsets are places in that buffer. */
  scan(bytes: Uint8Array, start: number, end: number): ScannedBody | Failure;
}

export interface ScannerOptions {
  /**
   * - `request` (default): the pieces are kept; what could mean two things to two parsers is refused, and so is more than the bounds allow.
   * - `answer`: nothing is kept but scalars; text goes to the sink of each push, a channel for each string. Of a repeated key the last one counts.
   * - `event`: for `scan`: as `answer`, but text is told as spans, and values are decoded only while the buffer holds.
   */
  readonly purpose?: 'request' | 'answer' | 'event';
}
