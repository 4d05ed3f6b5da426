/**
 * The text of one channel of a response, and the way back from the text to the events: which parts
 * of them must change.
 */
import type { Replacement, RequestGuard, RuleFinding } from '../guard.ts';
import type { TextFragment } from '../text/fragment.ts';
import { numberUnits } from '../text/number-units.ts';
import { escapedUnits, offsetOfUnit, unitsOf, windowEnd } from '../text/string-units.ts';
import { blockUnmaskable } from '../unmaskable.ts';
import { type Carrier, carrierOf } from './carrier.ts';
import { HeldText } from './held-text.ts';
import { BARE, JsonSource, KEY, kindOf, placeOf, STRUCTURE } from './json-source.ts';

/** Bytes that are looked at at once, so that a long text takes several small steps. */
const STEP_BYTES = 8 * 1024;

/** Longer numbers are none that a client can use. */
const MAX_BARE_UNITS = 1024;

const NOTHING = new Uint8Array(0);

/** A fragment whose text is not completely decided. */
interface Piece {
  readonly held: HeldText;
  readonly start: number;
  readonly end: number;
  /** The place of its first unit in the source of the channel, and of the one after its last. */
  readonly from: number;
  to: number;
  /** The text was taken out of its event, and goes with the next one. */
  readonly isCarried: boolean;
}

type TextSpan = Pick<TextFragment, 'start' | 'end' | 'whole'>;

export type ChannelKind = Pick<TextFragment, 'scope' | 'form' | 'repeats'> & { readonly isSigned: boolean };

export abstract class EditedText {
  readonly kind: ChannelKind;
  protected readonly guard: RequestGuard;
  /** The window: context, and what is not decided. */
  protected text = '';
  /** The place of the window in the text of the channel. */
  protected base = 0;
  /** Text before this place may go. */
  protected released = 0;
  /** The end of the last replacement. */
  protected replacedTo = 0;
  readonly #pieces: Piece[] = [];
  /** Present for text in JSON: the text is not the source then. */
  readonly #source: JsonSource | undefined;
  #marks: number[] = [];
  /** The units of a number that are no longer in the window. */
  #droppedBare = 0;
  /** The end of the source. */
  #end = 0;
  /** Decided text without an event, still escaped. */
  #carried: Uint8Array[] = [];
  #carrier: Carrier | undefined;

  constructor(kind: ChannelKind, guard: RequestGuard) {
    this.kind = kind;
    this.guard = guard;
    this.#source = kind.form === 'json' ? new JsonSource() : undefined;
  }

  get isDecided(): boolean {
    return this.#pieces.length === 0;
  }

  /** Whether an event waits for this channel. */
  holds(held: HeldText): boolean {
    return this.#pieces.some((piece) => piece.held === held);
  }

  /**
   * Takes what is not decided out of an event, so that the event can go. Returns false where no
   * later event could have the text.
   */
  withhold(held: HeldText): boolean {
    const places = [...this.#pieces.keys()].filter((place) => this.#pieces[place]!.held === held);
    const event = held.bytes.subarray(held.base, held.base + held.length);
    const carrier = carrierOf(event, this.#pieces[places[0]!]!.start);
    if (carrier === undefined) {
      return false;
    }
    this.#carrier = carrier;
    if (places[0] === 0) {
      this.#insertCarried(this.#pieces[0]!);
    }
    for (const place of places) {
      this.#pieces[place] = this.#withheld(this.#pieces[place]!);
    }
    return true;
  }

  #withheld({ held, start, end, from, to }: Piece): Piece {
    const decided = Math.max(this.released, Math.min(this.replacedTo, this.base + this.text.length));
    let cutFrom = Math.min(to, Math.max(from, this.#sourceAt(decided)));
    if (this.#source === undefined && cutFrom > from && isLowSurrogate(this.text.charCodeAt(cutFrom - this.base))) {
      cutFrom--;
    }
    const at = offsetOfUnit(held.bytes, held.base + start, held.base + end, cutFrom - from) - held.base;
    const bytes = Buffer.from(held.bytes.subarray(held.base + at, held.base + end));
    held.edits.push({ start: at, end, bytes: NOTHING });
    held.undecided--;
    const carried = new HeldText(bytes, 0, bytes.length, held.sinceMs);
    carried.undecided = 1;
    return { held: carried, start: 0, end: bytes.length, from: cutFrom, to, isCarried: true };
  }

  /** Puts text before that of an event. */
  #insertCarried({ held, start }: Piece): void {
    if (this.#carried.length > 0) {
      held.edits.push({ start, end: start, bytes: Buffer.concat(this.#carried) });
      this.#carried = [];
    }
  }

  /** Returns an event for text that was taken out of one; undefined: there is none. */
  carryOn(): HeldText | undefined {
    if (this.#carrier === undefined || (this.#carried.length === 0 && !this.#pieces.some((one) => one.isCarried))) {
      return undefined;
    }
    const { before, after } = this.#carrier;
    const bytes = Buffer.concat([before, after]);
    const held = new HeldText(bytes, 0, bytes.length, 0);
    held.undecided = 1;
    const place = { start: before.length, end: before.length, from: this.#end, to: this.#end };
    this.#pieces.push({ held, ...place, isCarried: false });
    return held;
  }

  /** Adds the next fragment. Yields the units of each step. */
  *append(held: HeldText, { start, end, whole }: TextSpan): Generator<number> {
    if (start === end) {
      return;
    }
    const isNumber = this.kind.form === 'number';
    held.undecided++;
    const piece = { held, start, end, from: this.#end, to: Number.POSITIVE_INFINITY, isCarried: false };
    this.#pieces.push(piece);
    const atOnce = whole && (this.kind.form === 'text' || this.kind.form === 'key');
    for (let at = start; at < end; ) {
      const { bytes, base } = held;
      const until = isNumber ? end : windowEnd(bytes, base + at, base + end, STEP_BYTES) - base;
      const units = isNumber ? numberUnits(bytes, base + at, base + end) : unitsOf(bytes, base + at, base + until);
      at = until;
      this.#end += units.length;
      if (at === end) {
        piece.to = this.#end;
      }
      this.#add(units);
      if (!atOnce) {
        this.grown();
      }
      if (at < end) {
        // Decoding alone is fast.
        yield atOnce ? units.length >> 3 : units.length;
      }
    }
    if (atOnce) {
      yield* this.complete();
    }
  }

  /** Called when the window has a whole text. Yields the units of each step. */
  protected complete(): Iterable<number> {
    this.grown();
    return [];
  }

  /** Called when the window has grown. */
  protected abstract grown(): void;

  /** Removes all text that is not decided. */
  drop(): void {
    for (const piece of this.#pieces) {
      this.#cut(piece, Math.max(piece.from, this.#sourceAt(this.released)), piece.to, NOTHING);
      piece.held.undecided--;
    }
    this.#pieces.length = 0;
    this.#carried = [];
  }

  /** Adds what is left of a source that ends within an escape. */
  protected endSource(): void {
    const rest = this.#source?.end();
    if (rest !== undefined && rest.text !== '') {
      this.text += rest.text;
      this.#marks.push(...rest.marks);
    }
  }

  /** Applies what the rules decide about findings in the window. */
  protected resolve(findings: readonly RuleFinding[]): void {
    const { isSigned, repeats } = this.kind;
    const { replacements, blockedAt } = this.guard.resolve('response', this.text, findings, !repeats);
    let removedFrom = blockedAt;
    for (const replacement of replacements) {
      if (!isSigned && this.apply(replacement)) {
        continue;
      }
      const { start, end } = replacement;
      const kept = findings.filter((finding) => finding.start < end && finding.end > start);
      blockUnmaskable(
        this.guard,
        kept.map(({ rule }) => rule),
      );
      if (this.guard.block !== undefined) {
        removedFrom = start;
        break;
      }
    }
    if (removedFrom !== undefined) {
      this.apply({ start: removedFrom, end: this.text.length, text: '', isShared: false });
    }
  }

  /**
   * Replaces a part of the window, as far as it has not gone yet. Returns false where a part of it
   * cannot be replaced.
   */
  protected apply(replacement: Replacement): boolean {
    const { start, end, text, isShared } = replacement;
    if (isShared && this.kind.form === 'key') {
      return false;
    }
    const from = Math.max(this.base + start, this.released);
    const to = this.base + end;
    if (this.#source !== undefined) {
      return this.#spliceJson(Math.max(from, this.replacedTo) - this.base, replacement);
    }
    this.replacedTo = Math.max(this.replacedTo, to);
    if (this.kind.form === 'number') {
      this.#replaceNumber(JSON.stringify(text));
    } else {
      this.#splice(from, to, Buffer.from(escapedUnits(text)));
    }
    return true;
  }

  /**
   * Returns the place in the window up to which text may be decided. A number is decided as one,
   * because a string takes its place.
   */
  protected wholeUntil(place: number): number {
    if (this.#source === undefined || (place < this.text.length && kindOf(this.#marks[place]) !== BARE)) {
      return place;
    }
    const start = this.#bareStart(place);
    return place - start > MAX_BARE_UNITS ? place : start;
  }

  /** Lets go of the fragments that are decided. */
  protected letGo(): void {
    const decided = this.#sourceAt(this.released);
    while (this.#pieces.length > 0 && this.#pieces[0]!.to <= decided) {
      const piece = this.#pieces.shift()!;
      if (piece.isCarried) {
        this.#carried.push(piece.held.edited());
      } else {
        this.#insertCarried(piece);
      }
      piece.held.undecided--;
    }
  }

  /** Drops text before a place, which is no longer needed. */
  protected forget(place: number): void {
    const drop = place - this.base;
    this.text = this.text.slice(drop);
    this.base = place;
    if (this.#source !== undefined) {
      this.#droppedBare = drop - this.#bareStart(drop);
      this.#marks = this.#marks.slice(drop);
    }
  }

  #add(units: string): void {
    if (this.#source === undefined) {
      this.text += units;
      return;
    }
    const { text, marks } = this.#source.push(units);
    this.text += text;
    for (const mark of marks) {
      this.#marks.push(mark);
    }
  }

  /** The digits that were looked at need not be those that are written. */
  #replaceNumber(text: string): void {
    for (const { held, start, end } of this.#pieces) {
      held.edits.push({ start, end, bytes: Buffer.from(text) });
    }
  }

  /**
   * Replaces the parts of the window that are inside of strings, from a place on, and all of a
   * number of which a part is there. Returns false where nothing can be replaced, or not all.
   */
  #spliceJson(from: number, { end: to, text: inserted, isShared }: Replacement): boolean {
    let text = inserted;
    let isReplaced = false;
    let isComplete = true;
    let at = from;
    while (at < to) {
      const first = at;
      const kind = kindOf(this.#marks[first]);
      while (kindOf(this.#marks[at]) === kind && (kind === BARE || at < to)) {
        at++;
      }
      if (kind === STRUCTURE) {
        continue;
      }
      const start = kind === BARE ? this.#bareStart(first) : first;
      const isLong = kind === BARE && at - start > MAX_BARE_UNITS;
      if ((isLong && inserted !== '') || (isShared && kind === KEY)) {
        isComplete = false;
        continue;
      }
      const contents = kind !== BARE ? escapedUnits(text) : isLong ? '' : JSON.stringify(text);
      const bytes = contents === '' ? NOTHING : Buffer.from(escapedUnits(contents));
      const cutFrom = isLong ? first : Math.max(0, start);
      this.#splice(this.#sourceAt(this.base + cutFrom), this.#sourceAt(this.base + at), bytes);
      isReplaced = true;
      text = '';
    }
    if (isComplete) {
      this.replacedTo = Math.max(this.replacedTo, this.base + at);
    }
    return isReplaced && isComplete;
  }

  /** Returns where the number begins that ends at a place of the window; roughly if it is long. */
  #bareStart(place: number): number {
    let start = place;
    while (start > 0 && kindOf(this.#marks[start - 1]) === BARE && place - start <= MAX_BARE_UNITS) {
      start--;
    }
    return start === 0 ? -this.#droppedBare : start;
  }

  /** Replaces a part of the source: the first fragment gets the bytes, others lose their part. */
  #splice(from: number, to: number, bytes: Uint8Array): void {
    let inserted = bytes;
    for (const piece of this.#pieces) {
      if (piece.to > from && piece.from < to) {
        this.#cut(piece, Math.max(from, piece.from), Math.min(to, piece.to), inserted);
        inserted = NOTHING;
      }
    }
  }

  #cut({ held, start, end, from }: Piece, cutFrom: number, cutTo: number, bytes: Uint8Array): void {
    held.edit(start, end, cutFrom - from, cutTo - from, bytes);
  }

  /** Returns the place in the source of a place in the text. */
  #sourceAt(place: number): number {
    if (this.#source === undefined) {
      return place;
    }
    const mark = this.#marks[place - this.base];
    return mark === undefined ? this.#source.readTo : placeOf(mark);
  }
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit < 0xe000;
}
