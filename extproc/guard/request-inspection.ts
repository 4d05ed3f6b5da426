/**
 * Inspects the body of a request by the detectors of the gateway itself: finds all text, and
 * returns the edits that mask it. Works in small steps, so that a large prompt never holds the
 * event loop.
 */

import { type Splice, splice } from '../json/splice.ts';
import { CONTEXT_LENGTH, type Finding } from './detectors/detector.ts';
import type { GuardRule, Replacement, RequestGuard, RuleFinding } from './guard.ts';
import { blockSigned } from './signed-text.ts';
import { type RequestText, RequestTexts } from './text/requests/request-texts.ts';
import { escapedUnits, offsetOfUnit, unitsOf } from './text/string-units.ts';

/** Bytes of text that are looked at in one step. */
const WINDOW_BYTES = 8 * 1024;

/** Longer arguments of a tool are read as one text, not as JSON. */
const MAX_NESTED_BYTES = 256 * 1024;

/** Why a body cannot be inspected. */
export type InspectionFault = 'unreadable_body' | 'tokens' | 'too_many_texts';

export interface InspectedRequest {
  /** Sorted; they mask what was found. */
  readonly splices: readonly Splice[];
  readonly fault: InspectionFault | undefined;
}

/** Yields the bytes of each step, and returns the edits. `guard.block` is set by what blocks. */
export function* inspectJson(body: Uint8Array, guard: RequestGuard): Generator<number, InspectedRequest> {
  const texts = new RequestTexts();
  if (!(yield* texts.read(body))) {
    return { splices: [], fault: 'unreadable_body' };
  }
  if (texts.hasTooMany) {
    return { splices: [], fault: 'too_many_texts' };
  }
  const splices: Splice[] = [];
  let bytes = 0;
  for (let place = 0; place < texts.count && guard.block === undefined; place++) {
    const text = texts.textAt(place);
    bytes += STRING_COST;
    if (text !== undefined && isShort(text)) {
      bytes += text.end - text.start;
      inspectShort(body, text, guard, splices);
    } else if (text !== undefined) {
      yield* inspectLong(body, text, guard, splices);
    }
    if (bytes >= WINDOW_BYTES) {
      yield bytes;
      bytes = 0;
    }
  }
  return { splices, fault: texts.hasTokens ? 'tokens' : undefined };
}

/** Inspects texts that are not in JSON: spans of UTF-8. */
export function* inspectPlain(
  body: Uint8Array,
  spans: Iterable<{ readonly start: number; readonly end: number }>,
  guard: RequestGuard,
): Generator<number, InspectedRequest> {
  const splices: Splice[] = [];
  for (const { start, end } of spans) {
    const text = Buffer.from(body.buffer, body.byteOffset + start, end - start).toString();
    // As the contents of a JSON string, so that both have one way.
    const inner = Buffer.from(escapedUnits(text));
    const edits: Splice[] = [];
    const use = { scope: 'user', form: 'text', isSigned: false } as const;
    yield* inspectLong(inner, { ...use, start: 0, end: inner.length }, guard, edits);
    if (edits.length > 0) {
      splices.push({ start, end, bytes: Buffer.from(unitsOf(edited(inner, edits), 0, edited(inner, edits).length)) });
    }
  }
  return { splices, fault: undefined };
}

/** What a string costs beside its bytes, in bytes of text. */
const STRING_COST = 128;

function isShort({ start, end, form }: RequestText): boolean {
  return end - start <= WINDOW_BYTES && form === 'text';
}

function inspectShort(raw: Uint8Array, text: RequestText, guard: RequestGuard, splices: Splice[]): void {
  const rules = guard.rulesFor('request', text.scope);
  if (rules.length > 0) {
    new TextInspection(raw, text, rules, guard, splices).all();
  }
}

function* inspectLong(raw: Uint8Array, text: RequestText, guard: RequestGuard, splices: Splice[]): Generator<number> {
  const rules = guard.rulesFor('request', text.scope);
  if (rules.length === 0) {
    return;
  }
  if (text.form === 'json' && text.end - text.start <= MAX_NESTED_BYTES) {
    const nested = yield* inspectNested(raw, text, guard, splices);
    if (nested) {
      return;
    }
  }
  yield* new TextInspection(raw, text, rules, guard, splices).run();
}

/** Inspects the strings of a JSON document in a string. Returns false where there is none. */
function* inspectNested(
  raw: Uint8Array,
  { start, end, isSigned }: RequestText,
  guard: RequestGuard,
  splices: Splice[],
): Generator<number, boolean> {
  const inner = Buffer.from(unitsOf(raw, start, end));
  const texts = new RequestTexts();
  if (!(yield* texts.read(inner)) || texts.hasTooMany) {
    return false;
  }
  const edits: Splice[] = [];
  for (let place = 0; place < texts.count; place++) {
    const use = { scope: 'toolCall', form: 'text', isSigned } as const;
    yield* inspectLong(inner, { ...use, start: texts.spanAt(place).start, end: texts.spanAt(place).end }, guard, edits);
  }
  if (edits.length > 0) {
    splices.push({ start, end, bytes: Buffer.from(escapedUnits(edited(inner, edits).toString())) });
  }
  return true;
}

function edited(bytes: Uint8Array, edits: readonly Splice[]): Buffer {
  return Buffer.concat(splice([bytes], edits));
}

/** One text, which passes the detectors in windows. */
class TextInspection {
  readonly #raw: Uint8Array;
  readonly #text: RequestText;
  readonly #rules: readonly GuardRule[];
  readonly #guard: RequestGuard;
  readonly #splices: Splice[];
  /** The window: context that is decided, and text that is not. */
  #window = '';
  /** The units of the window before this index are decided. */
  #from = 0;
  /** Units before the window. */
  #base = 0;
  /** Units of the whole text up to which findings are replaced. */
  #replacedTo = 0;
  /** A place in the raw text, and the unit there. */
  #rawAt: number;
  #unitAt = 0;

  constructor(raw: Uint8Array, text: RequestText, rules: readonly GuardRule[], guard: RequestGuard, splices: Splice[]) {
    this.#raw = raw;
    this.#text = text;
    this.#rules = rules;
    this.#guard = guard;
    this.#splices = splices;
    this.#rawAt = text.start;
  }

  /** Inspects a text of one window. */
  all(): void {
    this.#window = unitsOf(this.#raw, this.#text.start, this.#text.end);
    this.#decide(true);
  }

  *run(): Generator<number> {
    const { start, end } = this.#text;
    for (let at = start; at < end && this.#guard.block === undefined; ) {
      const until = windowEnd(this.#raw, at, end);
      this.#window += unitsOf(this.#raw, at, until);
      this.#decide(until === end);
      yield until - at;
      at = until;
    }
  }

  #decide(isLast: boolean): void {
    const text = this.#window;
    let to = text.length;
    if (!isLast) {
      for (const { detector } of this.#rules) {
        to = Math.min(to, detector.openFrom(text));
      }
    }
    to = Math.max(to, this.#from);
    const findings: RuleFinding[] = [];
    const found: Finding[] = [];
    for (const rule of this.#rules) {
      rule.detector.find(text, this.#from, to, found);
      for (const finding of found) {
        this.#add(findings, { ...finding, rule });
      }
      found.length = 0;
    }
    if (findings.length > 0) {
      this.#replace(this.#guard.resolve('request', text, findings, true).replacements, findings);
    }
    const drop = Math.max(0, to - CONTEXT_LENGTH);
    this.#window = text.slice(drop);
    this.#from = to - drop;
    this.#base += drop;
  }

  /** Adds a finding, without the part that an earlier window has replaced. */
  #add(findings: RuleFinding[], finding: RuleFinding): void {
    const start = Math.max(finding.start, this.#replacedTo - this.#base);
    if (start < finding.end) {
      findings.push({ ...finding, start });
    }
  }

  #replace(replacements: readonly Replacement[], findings: readonly RuleFinding[]): void {
    if (this.#text.isSigned) {
      const rules = findings.map((finding) => finding.rule);
      blockSigned(this.#guard, rules);
      return;
    }
    for (const { start, end, text } of replacements) {
      const from = this.#offsetOf(this.#base + start);
      const until = this.#offsetOf(this.#base + end);
      this.#splices.push({ start: from, end: until, bytes: Buffer.from(escapedUnits(text)) });
      this.#replacedTo = this.#base + end;
    }
  }

  #offsetOf(unit: number): number {
    this.#rawAt = offsetOfUnit(this.#raw, this.#rawAt, this.#text.end, unit - this.#unitAt);
    this.#unitAt = unit;
    return this.#rawAt;
  }
}

/** Returns where a window may end: not within an escape or a character. */
function windowEnd(raw: Uint8Array, at: number, end: number): number {
  let until = at + WINDOW_BYTES;
  if (until >= end) {
    return end;
  }
  // An escape has at most 6 bytes, one with a surrogate pair 12, a character at most 4.
  const least = until - 12;
  for (let place = least; place < until; place++) {
    if (raw[place] === 0x5c) {
      return isEscaped(raw, at, place) ? place - 1 : place;
    }
  }
  while (until > least && (raw[until]! & 0xc0) === 0x80) {
    until--;
  }
  return until;
}

/** Whether the character is the second one of an escape. */
function isEscaped(raw: Uint8Array, start: number, at: number): boolean {
  let backslashes = 0;
  for (let before = at - 1; before >= start && raw[before] === 0x5c; before--) {
    backslashes++;
  }
  return backslashes % 2 === 1;
}
