import { MAX_FOUND, MAX_FOUND_PER_PATH, MAX_IDLE_ENTRIES, MAX_TEXT_SPANS, MAX_VALUE_BYTES } from './bounds.ts';
import type { CompiledShape, ShapeNode } from './compiled-shape.ts';
import type { Found, Kind, ScannedBody, ScannerOptions } from './json.ts';
import { KeptBytes } from './kept-bytes.ts';
import { unescapedText } from './unescape.ts';

const KINDS: readonly Kind[] = ['string', 'number', 'boolean', 'null', 'object', 'array'];
export const KIND = { string: 0, number: 1, boolean: 2, null: 3, object: 4, array: 5 } as const;
export type KindNumber = (typeof KIND)[Kind];

const NONE: readonly Found[] = [];

/** What a scan has found so far, in small memory: objects only for values that the shape wants, numbers for the rest. */
export class Findings implements ScannedBody {
  insertAt = 0;
  empty = true;
  textBytes = 0;
  /** The bytes of a request. */
  readonly kept = new KeptBytes();
  /** The buffer of an event. */
  buffer: Uint8Array | undefined;

  readonly #shape: CompiledShape;
  readonly #purpose: NonNullable<ScannerOptions['purpose']>;
  readonly #found: (Place[] | undefined)[];
  readonly #counts: number[];
  /** The document for which a path was last touched: a reset need not clear them all. */
  readonly #touched: number[];
  #generation = 1;
  #total = 0;
  #spans = new Uint32Array(16);
  #spansLength = 0;
  #spanTuples: [start: number, end: number][] | undefined;

  constructor(shape: CompiledShape, purpose: NonNullable<ScannerOptions['purpose']>) {
    this.#shape = shape;
    this.#purpose = purpose;
    this.#found = new Array<Place[] | undefined>(shape.pathBySlot.length).fill(undefined);
    this.#counts = new Array<number>(shape.pathBySlot.length * KINDS.length).fill(0);
    this.#touched = new Array<number>(shape.pathBySlot.length).fill(0);
  }

  reset(): void {
    this.insertAt = 0;
    this.empty = true;
    this.textBytes = 0;
    this.kept.clear();
    this.buffer = undefined;
    this.#generation++;
    this.#total = 0;
    this.#spansLength = 0;
    this.#spanTuples = undefined;
  }

  /** Too much is kept to be kept for the next document. */
  get grown(): boolean {
    return this.#spans.length > 2 * MAX_IDLE_ENTRIES || this.#total > MAX_IDLE_ENTRIES;
  }

  all(path: string): readonly Found[] {
    const slot = this.#shape.slotByPath.get(path);
    return slot === undefined || this.#touched[slot] !== this.#generation ? NONE : (this.#found[slot] ?? NONE);
  }

  one(path: string): Found | undefined {
    const places = this.all(path);
    return places.length === 0 ? undefined : places[places.length - 1];
  }

  count(path: string, kind?: Kind): number {
    const slot = this.#shape.slotByPath.get(path);
    if (slot === undefined || this.#touched[slot] !== this.#generation) return 0;
    const first = slot * KINDS.length;
    if (kind !== undefined) return this.#counts[first + KIND[kind]]!;
    let count = 0;
    for (let at = first; at < first + KINDS.length; at++) count += this.#counts[at]!;
    return count;
  }

  get bytes(): readonly Uint8Array[] {
    return this.kept.pieces;
  }

  get textSpanPairs(): Uint32Array {
    return this.#spans.subarray(0, this.#spansLength);
  }

  get textSpans(): readonly (readonly [start: number, end: number])[] {
    if (this.#spanTuples?.length !== this.#spansLength / 2) {
      this.#spanTuples = [];
      for (let at = 0; at < this.#spansLength; at += 2) this.#spanTuples.push([this.#spans[at]!, this.#spans[at + 1]!]);
    }
    return this.#spanTuples;
  }

  /** False: there are too many. */
  addSpan(start: number, end: number): boolean {
    if (this.#spansLength === this.#spans.length) {
      if (this.#spansLength >= MAX_TEXT_SPANS * 2) return false;
      const larger = new Uint32Array(this.#spansLength * 2);
      larger.set(this.#spans);
      this.#spans = larger;
    }
    this.#spans[this.#spansLength++] = start;
    this.#spans[this.#spansLength++] = end;
    return true;
  }

  /** Counts a value; comes before its `add`. */
  tally(node: ShapeNode, kind: KindNumber): void {
    const { slot } = node;
    if (this.#touched[slot] !== this.#generation) {
      this.#touched[slot] = this.#generation;
      this.#found[slot] = undefined;
      for (let at = slot * KINDS.length; at < (slot + 1) * KINDS.length; at++) this.#counts[at] = 0;
    }
    this.#counts[slot * KINDS.length + kind]!++;
  }

  /** The place is remembered, or undefined: there are too many already. */
  add(
    node: ShapeNode,
    kind: KindNumber,
    keyStart: number,
    start: number,
    end: number,
    element: number,
    value: string | number | boolean | undefined,
  ): Place | undefined {
    const places = this.#found[node.slot];
    if (this.#purpose === 'request' ? this.#total === MAX_FOUND : places?.length === MAX_FOUND_PER_PATH)
      return undefined;
    this.#total++;
    const place = new Place(this, KINDS[kind]!, keyStart, start, end, element, value);
    if (places === undefined) this.#found[node.slot] = [place];
    else places.push(place);
    return place;
  }

  /** The bytes [start, end) of the document, where they are still there. */
  slice(start: number, end: number): Uint8Array | undefined {
    if (this.buffer !== undefined) return this.buffer.subarray(start, end);
    return this.kept.slice(start, end);
  }
}

/** Strings are decoded when they are asked for: most never are. */
class Place implements Found {
  readonly keyStart: number;
  readonly start: number;
  end: number;
  readonly kind: Kind;
  readonly element: number;
  readonly #findings: Findings;
  #value: string | number | boolean | undefined;

  constructor(
    findings: Findings,
    kind: Kind,
    keyStart: number,
    start: number,
    end: number,
    element: number,
    value: string | number | boolean | undefined,
  ) {
    this.#findings = findings;
    this.kind = kind;
    this.keyStart = keyStart;
    this.start = start;
    this.end = end;
    this.element = element;
    this.#value = value;
  }

  get value(): string | number | boolean | undefined {
    if (this.#value === undefined && this.kind === 'string') {
      const length = this.end - this.start - 2;
      if (length === 0) {
        this.#value = '';
      } else if (length <= MAX_VALUE_BYTES) {
        const raw = this.#findings.slice(this.start + 1, this.end - 1);
        if (raw !== undefined) this.#value = unescapedText(raw, 0, raw.length);
      }
    }
    return this.#value;
  }
}

export type { Place };
