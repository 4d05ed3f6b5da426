/**
 * Inspects the body of a request by the detectors of the gateway itself: finds all text, and
 * returns the edits that mask it. Works in small steps, so that a large prompt never holds the
 * event loop.
 */

import { type Splice, splice } from '../json/splice.ts';
import type { Finding } from './detectors/detector.ts';
import type { GuardRule, RequestGuard, RuleFinding } from './guard.ts';
import type { GuardScope } from './text/fragment.ts';
import { numberUnits } from './text/number-units.ts';
import { type RequestText, RequestTexts } from './text/requests/request-texts.ts';
import { escapedUnits, spelledUnits, unitsOf } from './text/string-units.ts';
import { replaceText } from './text-edits.ts';
import { TextInspection } from './text-inspection.ts';

/** Bytes of text that are looked at in one step. */
const WINDOW_BYTES = 8 * 1024;

/** Longer arguments of a tool are read as one text, not as JSON. */
const MAX_NESTED_BYTES = 256 * 1024;

/** What a text costs beside its bytes, in bytes of text. */
const TEXT_COST = 128;

/** A client may choose any number of keys. */
const MAX_CLEAN_KEYS = 4096;

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
  const inspection = new BodyInspection(body, guard);
  let bytes = 0;
  for (let place = 0; place < texts.count && guard.block === undefined; place++) {
    const text = texts.textAt(place);
    bytes += TEXT_COST;
    if (text !== undefined && isShort(text)) {
      bytes += text.end - text.start;
      inspection.short(text);
    } else if (text !== undefined) {
      yield* inspection.long(text);
    } else {
      // To see that a string is encoded is fast.
      bytes += texts.bytesAt(place) >> 3;
    }
    if (bytes >= WINDOW_BYTES) {
      yield bytes;
      bytes = 0;
    }
  }
  return { splices: inspection.splices, fault: texts.hasTokens ? 'tokens' : undefined };
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
    const inspection = new BodyInspection(inner, guard);
    const use = { scope: 'user', form: 'text', isSigned: false } as const;
    yield* inspection.long({ use, kind: 'string', key: '', spelling: 'escaped', start: 0, end: inner.length });
    const { splices: edits } = inspection;
    if (edits.length > 0) {
      const after = edited(inner, edits);
      splices.push({ start, end, bytes: Buffer.from(unitsOf(after, 0, after.length)) });
    }
  }
  return { splices, fault: undefined };
}

function isShort({ start, end, use }: RequestText): boolean {
  return end - start <= WINDOW_BYTES && use.form === 'text';
}

function edited(bytes: Uint8Array, edits: readonly Splice[]): Buffer {
  return Buffer.concat(splice([bytes], edits));
}

/** Inspects the texts of one document, in order. */
class BodyInspection {
  readonly splices: Splice[] = [];
  readonly #body: Uint8Array;
  readonly #guard: RequestGuard;
  readonly #rules = new Map<GuardScope, readonly GuardRule[]>();
  /** Keys in which no rule finds anything, by scope: documents repeat their keys. */
  readonly #cleanKeys = new Map<GuardScope, Set<string>>();
  readonly #found: Finding[] = [];

  constructor(body: Uint8Array, guard: RequestGuard) {
    this.#body = body;
    this.#guard = guard;
  }

  /** Inspects a text of at most one window. */
  short(text: RequestText): void {
    const { use, kind } = text;
    const rules = this.#rulesFor(use.scope);
    if (rules.length === 0) {
      return;
    }
    const units = this.#unitsOf(text);
    const clean = kind === 'key' ? this.#cleanKeysOf(use.scope) : undefined;
    if (clean?.has(units)) {
      return;
    }
    const findings = this.#find(units, rules);
    if (findings === undefined) {
      if (clean !== undefined && clean.size < MAX_CLEAN_KEYS) {
        clean.add(units);
      }
      return;
    }
    const { replacements } = this.#guard.resolve('request', units, findings, true);
    const found = { raw: this.#body, text, units, rules: findings.map(({ rule }) => rule), guard: this.#guard };
    replaceText(found, replacements, this.splices);
  }

  *long(text: RequestText): Generator<number> {
    const { use, start, end } = text;
    const rules = this.#rulesFor(use.scope);
    if (rules.length === 0) {
      return;
    }
    if (use.form === 'json' && end - start <= MAX_NESTED_BYTES && (yield* this.#nested(text))) {
      return;
    }
    const isLongKey = text.kind === 'key';
    // The key of a member is at most a few words: nothing is lost where this one cannot be masked.
    const inspected = isLongKey ? { ...text, use: { ...use, isSigned: true } } : text;
    yield* new TextInspection(this.#body, inspected, rules, this.#guard, this.splices).run();
  }

  /** Inspects the texts of a JSON document in a string. Returns false where there is none. */
  *#nested({ use, start, end, spelling }: RequestText): Generator<number, boolean> {
    const inner = Buffer.from(spelledUnits(this.#body, start, end, spelling));
    const texts = new RequestTexts(false);
    if (!(yield* texts.read(inner)) || texts.hasTooMany) {
      return false;
    }
    const inspection = new BodyInspection(inner, this.#guard);
    const plain = { scope: use.scope, form: 'text', isSigned: use.isSigned } as const;
    for (let place = 0; place < texts.count && this.#guard.block === undefined; place++) {
      const text = texts.anyTextAt(place, plain);
      if (isShort(text)) {
        inspection.short(text);
        yield TEXT_COST + text.end - text.start;
      } else {
        yield* inspection.long(text);
      }
    }
    const { splices } = inspection;
    if (splices.length > 0) {
      this.splices.push({ start, end, bytes: Buffer.from(escapedUnits(edited(inner, splices).toString())) });
    }
    return true;
  }

  #unitsOf({ kind, key, spelling, start, end }: RequestText): string {
    if (kind === 'number') {
      return numberUnits(this.#body, start, end);
    }
    const isKnown = kind === 'key' && spelling === 'ascii' && key !== '';
    return isKnown ? key : spelledUnits(this.#body, start, end, spelling);
  }

  /** Returns what the rules find; undefined: nothing, as in most texts. */
  #find(units: string, rules: readonly GuardRule[]): readonly RuleFinding[] | undefined {
    const found = this.#found;
    let findings: RuleFinding[] | undefined;
    for (const rule of rules) {
      rule.detector.find(units, 0, units.length, found);
      for (const finding of found) {
        findings ??= [];
        findings.push({ ...finding, rule });
      }
      found.length = 0;
    }
    return findings;
  }

  #rulesFor(scope: GuardScope): readonly GuardRule[] {
    let rules = this.#rules.get(scope);
    if (rules === undefined) {
      rules = this.#guard.rulesFor('request', scope);
      this.#rules.set(scope, rules);
    }
    return rules;
  }

  #cleanKeysOf(scope: GuardScope): Set<string> {
    let keys = this.#cleanKeys.get(scope);
    if (keys === undefined) {
      keys = new Set();
      this.#cleanKeys.set(scope, keys);
    }
    return keys;
  }
}
