/** Signatures that the adapters and the session build on; the scanner itself is filled in here. */
import type { Failure } from '../errors.ts';
import type { Shape } from './shape.ts';

/** A member or element that the shape names, where it stands in the document (byte offsets over all pieces together). */
export interface Found {
  /** First byte of the key's opening quote; for an array element, of its value. */
  readonly keyStart: number;
  readonly start: number;
  readonly end: number;
  readonly kind: 'string' | 'number' | 'boolean' | 'null' | 'object' | 'array';
  /** Strings, numbers and booleans up to 1 KB, decoded; longer strings have none. */
  readonly value?: string | number | boolean;
}

/** What the scan of one whole document gives. */
export interface ScannedBody {
  /** By path of names in the shape, `messages[].content[].type` giving one `Found` an element; top-level members have one. */
  all(path: string): readonly Found[];
  one(path: string): Found | undefined;
  /** Offset just after the opening brace, where members can be put in; and whether the object is empty. */
  readonly insertAt: number;
  readonly empty: boolean;
  readonly textBytes: number;
  /** Raw spans of text strings (contents between the quotes). */
  readonly textSpans: readonly (readonly [start: number, end: number])[];
  readonly bytes: readonly Uint8Array[];
}

/** Takes a document in pieces; each push costs time in proportion to its piece. */
export interface JsonScanner {
  push(bytes: Uint8Array): Failure | undefined;
  finish(): ScannedBody | Failure;
}

export type NewScanner = (shape: Shape) => JsonScanner;
