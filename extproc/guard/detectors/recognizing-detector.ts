import { OTHER } from './character-folds.ts';
import { isDigit } from './characters.ts';
import { CONTEXT_LENGTH, type Detector, type Finding } from './detector.ts';
import { FoldedText } from './folded-text.ts';
import { MAX_RUN, type Match, type Recognizer } from './recognizer.ts';

/** How far before `from` a match may begin to be folded with the same text as the last call. */
const REUSE_UNITS = 64 * 1024;

const ASCII = 128;
/** Codes before an anchor are ASCII, LETTER or OTHER. */
const PAIRS = (OTHER + 1) * ASCII;

function pairOf(before: number, anchor: number): number {
  return before * ASCII + anchor;
}

/** The text of the last call: a detector is called twice for each window of a stream. */
const folded = new FoldedText();
let foldedText = '';
let foldedBase = 0;

const found: Match = { start: 0, end: 0, score: 0 };

/** Finds what any of its recognizers recognizes, in one pass over the anchors in the text. */
export class RecognizingDetector implements Detector {
  readonly #recognizers: readonly Recognizer[];
  /** For each code, 1 if some recognizer looks at it. */
  readonly #isAnchor = new Uint8Array(256);
  /** For each pair of a code and an anchor, the index of their list in `#lists`. */
  readonly #listAt = new Uint8Array(PAIRS);
  /** The first one is empty. */
  readonly #lists: (readonly Recognizer[])[] = [[]];
  /** Of each list, those that take a number of so many digits in a row. */
  readonly #listsByRun: (readonly (readonly Recognizer[])[])[];
  readonly #reach: number;
  readonly #lead: number;

  /** Of matches with the same span, that of the earlier recognizer counts. */
  constructor(recognizers: readonly Recognizer[]) {
    this.#recognizers = recognizers;
    this.#reach = Math.max(0, ...recognizers.map(({ reach }) => reach));
    this.#lead = Math.max(0, ...recognizers.map(({ lead = 0 }) => lead));
    for (let anchor = 0; anchor < ASCII; anchor += 1) {
      const character = isDigit(anchor) ? '0' : String.fromCharCode(anchor);
      const own = recognizers.filter(({ anchors }) => anchors.includes(character));
      for (let before = 0; before <= OTHER && own.length > 0; before += 1) {
        this.#addList(before, anchor, own);
      }
    }
    this.#listsByRun = this.#lists.map((list) =>
      Array.from({ length: MAX_RUN + 1 }, (_, run) => list.filter(({ hasRun }) => hasRun?.(run) ?? true)),
    );
  }

  #addList(before: number, anchor: number, recognizers: readonly Recognizer[]): void {
    const list = recognizers.filter(({ canFollow }) => canFollow?.(before, anchor) ?? true);
    const isSame = (other: readonly Recognizer[]) =>
      other.length === list.length && other.every((recognizer, index) => recognizer === list[index]);
    const known = this.#lists.findIndex(isSame);
    this.#listAt[pairOf(before, anchor)] = known >= 0 ? known : this.#lists.push(list) - 1;
    this.#isAnchor[anchor]! |= list.length > 0 ? 1 : 0;
  }

  find(text: string, from: number, to: number, out: Finding[]): void {
    fold(text, Math.max(0, from - CONTEXT_LENGTH));
    const first = folded.indexOf(from);
    const last = folded.indexOf(to);
    const known = out.length;
    const before = Math.max(-1, first - 1 - this.#lead);
    for (let anchor = this.#nextAnchor(before, last); anchor >= 0; anchor = this.#nextAnchor(anchor, last)) {
      for (const { type, recognize } of this.#likelyAt(anchor)) {
        if (recognize(folded, anchor, found) && found.start >= first && found.start < last) {
          const { start, end, score } = found;
          out.push({ type, start: folded.startOf(start), end: folded.endOf(end - 1), score });
        }
      }
    }
    if (out.length > known + 1) {
      dropContained(out, known);
    }
  }

  openFrom(text: string): number {
    fold(text, 0);
    folded.indexOf(text.length);
    let open = folded.length;
    for (const recognizer of this.#recognizers) {
      open = Math.min(open, recognizer.openTail?.(folded) ?? open);
    }
    for (let anchor = this.#nextAnchor(-1, open); anchor >= 0; anchor = this.#nextAnchor(anchor, open)) {
      for (const { recognize } of this.#listFor(anchor)) {
        folded.touchedEnd = false;
        found.start = anchor;
        recognize(folded, anchor, found);
        if (folded.touchedEnd) {
          open = Math.min(open, found.start);
        }
      }
    }
    return folded.startOf(open);
  }

  #listFor(anchor: number): readonly Recognizer[] {
    return this.#lists[this.#listAt[pairOf(folded.at(anchor - 1), folded.codes[anchor]!)]!]!;
  }

  /** Leaves out those that cannot match, so that the number costs less. */
  #likelyAt(anchor: number): readonly Recognizer[] {
    const list = this.#listAt[pairOf(folded.at(anchor - 1), folded.codes[anchor]!)]!;
    if (!isDigit(folded.codes[anchor]!)) {
      return this.#lists[list]!;
    }
    let run = 1;
    while (run < MAX_RUN && isDigit(folded.at(anchor + run))) {
      run += 1;
    }
    return this.#listsByRun[list]![run]!;
  }

  /** Returns the next anchor of a match that may begin before `last`; -1 if there is none. */
  #nextAnchor(after: number, last: number): number {
    const limit = last + this.#reach;
    const isAnchor = this.#isAnchor;
    let { codes, length } = folded;
    let end = Math.min(limit, length);
    for (let index = after + 1; index < limit; index += 1) {
      while (index < end && isAnchor[codes[index]!] === 0) {
        index += 1;
      }
      if (index === end) {
        if (end === limit || !folded.has(index)) {
          return -1;
        }
        ({ codes, length } = folded);
        end = Math.min(limit, length);
        index -= 1;
        continue;
      }
      const code = codes[index]!;
      const before = index > 0 ? codes[index - 1]! : OTHER;
      const isInside = isDigit(code) && isDigit(before);
      if (!isInside && this.#listAt[pairOf(before, code)] !== 0) {
        return index;
      }
    }
    return -1;
  }
}

function fold(text: string, base: number): void {
  if (base >= foldedBase && base - foldedBase <= REUSE_UNITS && text === foldedText) {
    return;
  }
  foldedText = text;
  foldedBase = base;
  folded.begin(text, base);
}

/** Sorts the findings after `known` by start, and removes those that lie inside another one. */
export function dropContained(out: Finding[], known: number): void {
  const findings = out.splice(known).sort((a, b) => a.start - b.start || b.end - a.end);
  let end = -1;
  for (const finding of findings) {
    if (finding.end > end) {
      out.push(finding);
      end = finding.end;
    }
  }
}
