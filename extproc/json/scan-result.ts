import {
  FREE_NOTES_BYTES,
  MAX_FOUND,
  MAX_FOUND_AS_OBJECTS,
  MAX_FOUND_PER_PATH,
  MAX_IDLE_ENTRIES,
  MAX_TEXT_SPANS,
  MAX_VALUE_BYTES,
} from './bounds.ts';
import { ByteBuffer } from './byte-buffer.ts';
import type { CompiledShape, ShapeNode } from './compiled-shape.ts';
import { numberValue } from './number.ts';
import { NumberLog, type NumberReader } from './number-log.ts';
import type { JsonMatch, Kind, ScannedBody, ScannerOptions, SpanReader } from './scanner.ts';
import { unescapedText } from './unescape.ts';

const KINDS: readonly Kind[] = ['string', 'number', 'boolean', 'null', 'object', 'array'];
export const KIND = { string: 0, number: 1, boolean: 2, null: 3, object: 4, array: 5 } as const;
export type KindNumber = (typeof KIND)[Kind];

const NONE: readonly JsonMatch[] = [];

const TRUE_BEGINS = 0x74;

/**
 * The result of a scan in little memory: objects for the first matches, encoded notes of some bytes
 * for further matches and text spans, and counts for all.
 */
export class ScanResult implements ScannedBody {
  insertAt = 0;
  empty = true;
  textBytes = 0;
  /** The bytes of a request. */
  readonly kept = new ByteBuffer();

  readonly #shape: CompiledShape;
  readonly #purpose: NonNullable<ScannerOptions['purpose']>;
  readonly #found: (ScanMatch[] | undefined)[];
  readonly #counts: number[];
  /**
   * The document for which each path was last updated, so that a reset need not clear all paths.
   */
  readonly #touched: number[];
  #generation = 1;
  #total = 0;
  /** Distance from the previous span, and length. */
  readonly #spans = new NumberLog();
  #spanEnd = 0;
  /** Matches of a request past the first ones, by slot. */
  readonly #notes = new Map<number, Notes>();
  #notesBytes = 0;

  constructor(shape: CompiledShape, purpose: NonNullable<ScannerOptions['purpose']>) {
    this.#shape = shape;
    this.#purpose = purpose;
    this.#found = new Array<ScanMatch[] | undefined>(shape.pathBySlot.length).fill(undefined);
    this.#counts = new Array<number>(shape.pathBySlot.length * KINDS.length).fill(0);
    this.#touched = new Array<number>(shape.pathBySlot.length).fill(0);
  }

  reset(): void {
    this.insertAt = 0;
    this.empty = true;
    this.textBytes = 0;
    this.kept.clear();
    this.#generation++;
    this.#total = 0;
    this.#spans.clear();
    this.#spanEnd = 0;
    if (this.#notes.size > 0) {
      this.#notes.clear();
    }
    this.#notesBytes = 0;
  }

  /** Whether the result is too large to be reused. */
  get grown(): boolean {
    return this.#total > MAX_IDLE_ENTRIES;
  }

  get keptBytes(): number {
    return this.kept.length + this.#notesBytes + this.#spans.extraBytes;
  }

  all(path: string): readonly JsonMatch[] {
    const slot = this.#shape.slotByPath.get(path);
    if (slot === undefined || this.#touched[slot] !== this.#generation) {
      return NONE;
    }
    const found = this.#found[slot] ?? NONE;
    const notes = this.#notes.get(slot);
    return notes === undefined ? found : [...found, ...notes.places(this)];
  }

  one(path: string): JsonMatch | undefined {
    const places = this.all(path);
    return places.length === 0 ? undefined : places[places.length - 1];
  }

  count(path: string, kind?: Kind): number {
    const slot = this.#shape.slotByPath.get(path);
    if (slot === undefined || this.#touched[slot] !== this.#generation) {
      return 0;
    }
    const first = slot * KINDS.length;
    if (kind !== undefined) {
      return this.#counts[first + KIND[kind]]!;
    }
    let count = 0;
    for (let at = first; at < first + KINDS.length; at++) {
      count += this.#counts[at]!;
    }
    return count;
  }

  get bytes(): readonly Uint8Array[] {
    return this.kept.pieces;
  }

  textSpans(): SpanReader {
    return new Spans(this.#spans.read());
  }

  /** Returns false if there are too many spans. */
  addSpan(start: number, end: number): boolean {
    if (this.#spans.length === MAX_TEXT_SPANS * 2) {
      return false;
    }
    this.#spans.add(start - this.#spanEnd);
    this.#spans.add(end - start);
    this.#spanEnd = end;
    return true;
  }

  /** Counts a value. Call before its `add`. */
  tally(node: ShapeNode, kind: KindNumber): void {
    const { slot } = node;
    if (this.#touched[slot] !== this.#generation) {
      this.#touched[slot] = this.#generation;
      this.#found[slot] = undefined;
      for (let at = slot * KINDS.length; at < (slot + 1) * KINDS.length; at++) {
        this.#counts[at] = 0;
      }
    }
    this.#counts[slot * KINDS.length + kind]!++;
  }

  /** Whether further values of this request are noted at their end instead of kept as objects. */
  get terse(): boolean {
    return this.#purpose === 'request' && this.#total >= MAX_FOUND_AS_OBJECTS;
  }

  /** Whether no more values are accepted. */
  get full(): boolean {
    const notes = this.#notesBytes + this.#spans.extraBytes;
    return this.#total >= MAX_FOUND || notes > FREE_NOTES_BYTES + this.kept.length / 2;
  }

  /** Records a value at its end. Call while `terse` and not `full`. */
  note(slot: number, kind: KindNumber, keyStart: number, start: number, end: number, element: number): void {
    let notes = this.#notes.get(slot);
    if (notes === undefined) {
      notes = new Notes();
      this.#notes.set(slot, notes);
      this.#notesBytes += NOTES_BYTES;
    }
    this.#total++;
    const before = notes.log.extraBytes;
    notes.add(kind, keyStart, start, end, element);
    this.#notesBytes += notes.log.extraBytes - before;
  }

  /** Returns the match; undefined if the path has too many already. */
  add(
    node: ShapeNode,
    kind: KindNumber,
    keyStart: number,
    start: number,
    end: number,
    element: number,
    value: string | number | boolean | undefined,
  ): ScanMatch | undefined {
    const places = this.#found[node.slot];
    if (places?.length === MAX_FOUND_PER_PATH) {
      return undefined;
    }
    this.#total++;
    const place = new ScanMatch(this, KINDS[kind]!, keyStart, start, end, element, value);
    if (places === undefined) {
      this.#found[node.slot] = [place];
    } else {
      places.push(place);
    }
    return place;
  }

  /** Returns the document's bytes [start, end), if they were kept. */
  slice(start: number, end: number): Uint8Array | undefined {
    return this.kept.slice(start, end);
  }
}

/** A kind shares a number with a distance. */
const KINDS_SPACE = 8;

/** The size of an empty `Notes`, with its first block. */
const NOTES_BYTES = 400;

/**
 * Matches at one path. They never nest, so each is encoded by its distance from the previous one.
 */
class Notes {
  readonly log = new NumberLog();
  #end = 0;

  add(kind: KindNumber, keyStart: number, start: number, end: number, element: number): void {
    const { log } = this;
    log.add(keyStart - this.#end);
    log.add((start - keyStart) * KINDS_SPACE + kind);
    log.add(end - start);
    log.add(element + 1);
    this.#end = end;
  }

  places(result: ScanResult): ScanMatch[] {
    const places: ScanMatch[] = [];
    const reader = this.log.read();
    for (let before = 0; !reader.done; ) {
      const keyStart = before + reader.next();
      const startAndKind = reader.next();
      const kind = KINDS[startAndKind % KINDS_SPACE]!;
      const start = keyStart + Math.floor(startAndKind / KINDS_SPACE);
      const end = start + reader.next();
      places.push(new ScanMatch(result, kind, keyStart, start, end, reader.next() - 1, undefined));
      before = end;
    }
    return places;
  }
}

class Spans implements SpanReader {
  start = 0;
  end = 0;
  readonly #reader: NumberReader;

  constructor(reader: NumberReader) {
    this.#reader = reader;
  }

  next(): boolean {
    if (this.#reader.done) {
      return false;
    }
    this.start = this.end + this.#reader.next();
    this.end = this.start + this.#reader.next();
    return true;
  }
}

/** Decodes values on demand where they were not given: most are never read. */
class ScanMatch implements JsonMatch {
  readonly keyStart: number;
  readonly start: number;
  end: number;
  readonly kind: Kind;
  readonly element: number;
  readonly #result: ScanResult;
  #value: string | number | boolean | undefined;

  constructor(
    result: ScanResult,
    kind: Kind,
    keyStart: number,
    start: number,
    end: number,
    element: number,
    value: string | number | boolean | undefined,
  ) {
    this.#result = result;
    this.kind = kind;
    this.keyStart = keyStart;
    this.start = start;
    this.end = end;
    this.element = element;
    this.#value = value;
  }

  get value(): string | number | boolean | undefined {
    if (this.#value === undefined) {
      this.#value = this.#decoded();
    }
    return this.#value;
  }

  #decoded(): string | number | boolean | undefined {
    const { kind } = this;
    if (kind !== 'string' && kind !== 'number' && kind !== 'boolean') {
      return undefined;
    }
    const quote = kind === 'string' ? 1 : 0;
    const length = this.end - this.start - 2 * quote;
    if (length === 0) {
      return '';
    }
    if (length > MAX_VALUE_BYTES) {
      return undefined;
    }
    const raw = this.#result.slice(this.start + quote, this.end - quote);
    if (raw === undefined) {
      return undefined;
    }
    if (kind === 'string') {
      return unescapedText(raw, 0, raw.length);
    }
    return kind === 'number' ? numberValue(raw, 0, raw.length) : raw[0] === TRUE_BEGINS;
  }
}

export type { ScanMatch };
