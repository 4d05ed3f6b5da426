/**
 * The text of one channel of a response, as far as it is not decided: which values are in it, and
 * which parts of which events must change. A value may be split at any place over any events.
 */
import { CONTEXT_LENGTH, type Detector, type Finding } from '../detectors/detector.ts';
import { clustersOf, type GuardRule, type Replacement, type RequestGuard, type RuleFinding } from '../guard.ts';
import { blockSigned } from '../signed-text.ts';
import type { TextFragment } from '../text/fragment.ts';
import { escapedUnits, unitsOf } from '../text/string-units.ts';
import type { HeldText } from './held-text.ts';
import { JsonSource } from './json-source.ts';

/** Units that are looked at at once, so that a long text takes several small steps. */
export const STEP_UNITS = 8 * 1024;

/** More than the longest match of a detector. A longer undecided text is decided as it is. */
const MAX_UNDECIDED_UNITS = 64 * 1024;

const NOTHING = new Uint8Array(0);

/** A fragment whose text is not completely decided. */
interface Piece {
  readonly held: HeldText;
  readonly start: number;
  readonly end: number;
  /** The place of its first unit in the source of the channel, and of the one after its last. */
  readonly from: number;
  readonly to: number;
}

type TextSpan = Pick<TextFragment, 'start' | 'end'>;

type ChannelKind = Pick<TextFragment, 'scope' | 'form' | 'repeats'> & { readonly isSigned: boolean };

export class ChannelText {
  readonly kind: ChannelKind;
  readonly #guard: RequestGuard;
  readonly #rules: readonly GuardRule[];
  readonly #placeholders: Detector | undefined;
  readonly #pieces: Piece[] = [];
  /** Present for text in JSON: the text is not the source then. */
  readonly #source: JsonSource | undefined;
  #marks: number[] = [];
  /** The window: context, and what is not decided. */
  #text = '';
  /** The place of the window in the text of the channel. */
  #base = 0;
  /** Findings are decided before the first place of the text, and text before the second may go. */
  #scanned = 0;
  #released = 0;
  /** The end of the last replacement. */
  #replacedTo = 0;
  /** The end of the source. */
  #end = 0;

  constructor(kind: ChannelKind, guard: RequestGuard) {
    this.kind = kind;
    this.#guard = guard;
    this.#rules = guard.rulesFor('response', kind.scope);
    this.#placeholders = kind.isSigned ? undefined : guard.placeholders;
    this.#source = kind.form === 'json' ? new JsonSource() : undefined;
  }

  /** Whether nothing has to be looked at. */
  get isFree(): boolean {
    return this.#rules.length === 0 && this.#placeholders === undefined;
  }

  get isDecided(): boolean {
    return this.#pieces.length === 0;
  }

  /** The oldest event that waits for this channel. */
  get oldest(): HeldText | undefined {
    return this.#pieces[0]?.held;
  }

  /** Adds the next fragment. Yields the units of each step. */
  *append(held: HeldText, { start, end }: TextSpan): Generator<number> {
    const units = unitsOf(held.bytes, held.base + start, held.base + end);
    if (units.length === 0) {
      return;
    }
    held.undecided++;
    this.#pieces.push({ held, start, end, from: this.#end, to: this.#end + units.length });
    for (let at = 0; at < units.length; at += STEP_UNITS) {
      const some = units.length <= STEP_UNITS ? units : units.slice(at, at + STEP_UNITS);
      this.#end += some.length;
      this.#add(some);
      this.#decide(false);
      if (at + STEP_UNITS < units.length) {
        yield some.length;
      }
    }
  }

  /** Decides the rest as it is: nothing follows. */
  end(): void {
    const rest = this.#source?.end();
    if (rest !== undefined && rest.text !== '') {
      this.#text += rest.text;
      this.#marks.push(...rest.marks);
    }
    this.#decide(true);
    this.#scanned = this.#released;
    this.#letGo();
  }

  /** Releases what waits, although a value may go on later, which is then masked from there on. */
  release(): void {
    this.#decide(true);
    this.#letGo();
  }

  /** Removes all text that is not decided. */
  drop(): void {
    for (const piece of this.#pieces) {
      this.#cut(piece, Math.max(piece.from, this.#sourceAt(this.#released)), piece.to, NOTHING);
      piece.held.undecided--;
    }
    this.#pieces.length = 0;
  }

  #add(units: string): void {
    if (this.#source === undefined) {
      this.#text += units;
      return;
    }
    const { text, marks } = this.#source.push(units);
    this.#text += text;
    for (const mark of marks) {
      this.#marks.push(mark);
    }
  }

  /** Decides as much as is possible; `final`: everything. */
  #decide(final: boolean): void {
    const text = this.#text;
    const from = this.#scanned - this.#base;
    const isFull = text.length - from > MAX_UNDECIDED_UNITS;
    const open = isFull ? text.length : Math.max(from, this.#openFrom(text));
    const { findings, until } = this.#find(from, final ? text.length : open);
    if (findings.length > 0) {
      this.#replace(findings);
    }
    this.#released = Math.max(this.#released, this.#base + until);
    this.#scanned = this.#base + Math.min(until, open);
    this.#letGo();
    this.#forget();
  }

  #openFrom(text: string): number {
    let open = this.#placeholders?.openFrom(text) ?? text.length;
    for (const { detector } of this.#rules) {
      open = Math.min(open, detector.openFrom(text));
    }
    return open;
  }

  /** Returns the findings that begin in the window before `to`, up to where all of them end. */
  #find(from: number, to: number): { readonly findings: readonly RuleFinding[]; readonly until: number } {
    const text = this.#text;
    const all: RuleFinding[] = [];
    const some: Finding[] = [];
    const replacedTo = this.#replacedTo - this.#base;
    const add = (detector: Detector, rule: GuardRule | undefined) => {
      some.length = 0;
      detector.find(text, from, to, some);
      for (const { type, start, end, score } of some) {
        if (end > replacedTo) {
          all.push({ type, start: Math.max(start, replacedTo), end, score, rule });
        }
      }
    };
    for (const rule of this.#rules) {
      add(rule.detector, rule);
    }
    if (this.#placeholders !== undefined) {
      add(this.#placeholders, undefined);
    }
    if (all.length === 0) {
      return { findings: all, until: to };
    }
    const crossing = clustersOf(all).find((cluster) => cluster.end > to);
    const until = crossing === undefined ? to : Math.min(to, crossing.start);
    return { findings: crossing === undefined ? all : all.filter(({ start }) => start < until), until };
  }

  #replace(findings: readonly RuleFinding[]): void {
    const { isSigned, repeats } = this.kind;
    const { replacements, blockedAt } = this.#guard.resolve('response', this.#text, findings, !repeats);
    if (isSigned) {
      blockSigned(
        this.#guard,
        findings.map(({ rule }) => rule),
      );
      return;
    }
    for (const replacement of replacements) {
      this.#apply(replacement);
    }
    if (blockedAt !== undefined) {
      this.#apply({ start: blockedAt, end: this.#text.length, text: '' });
    }
  }

  #apply({ start, end, text }: Replacement): void {
    const from = Math.max(this.#base + start, this.#released);
    const to = this.#base + end;
    this.#replacedTo = Math.max(this.#replacedTo, to);
    if (this.#source === undefined) {
      this.#splice(from, to, Buffer.from(escapedUnits(text)));
    } else {
      this.#spliceStrings(from - this.#base, to - this.#base, text);
    }
  }

  /** Replaces the parts of [from, to) of the window that are inside of strings. */
  #spliceStrings(from: number, to: number, inserted: string): void {
    let bytes: Uint8Array = Buffer.from(escapedUnits(escapedUnits(inserted)));
    for (let at = from; at < to; at++) {
      if ((this.#marks[at]! & 1) === 0) {
        continue;
      }
      const first = at;
      while (at < to && (this.#marks[at]! & 1) === 1) {
        at++;
      }
      this.#splice(this.#sourceAt(this.#base + first), this.#sourceAt(this.#base + at), bytes);
      bytes = NOTHING;
    }
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
    const mark = this.#marks[place - this.#base];
    return mark === undefined ? this.#source.readTo : mark >> 1;
  }

  /** Lets go of the fragments that are decided. */
  #letGo(): void {
    const decided = this.#sourceAt(this.#released);
    while (this.#pieces.length > 0 && this.#pieces[0]!.to <= decided) {
      this.#pieces.shift()!.held.undecided--;
    }
  }

  /** Drops text that is no longer needed as context. */
  #forget(): void {
    const drop = Math.min(this.#scanned, this.#released) - this.#base - CONTEXT_LENGTH;
    // Rarely, because each time copies the window.
    if (drop >= CONTEXT_LENGTH) {
      this.#text = this.#text.slice(drop);
      this.#base += drop;
      if (this.#source !== undefined) {
        this.#marks = this.#marks.slice(drop);
      }
    }
  }
}
