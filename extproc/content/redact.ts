/**
 * Masks the values in collected texts with the detectors of guardrails, and bounds them. What
 * cannot be examined is left out.
 */
import type { Finding } from '../guard/detectors/detector.ts';
import { type GuardRule, RequestGuard, type RuleFinding } from '../guard/guard.ts';
import type { RecordedText } from '../record.ts';
import type { CollectedTexts, ContentText } from './content-text.ts';

/** Deeper documents are left out. */
const MAX_DEPTH = 64;

export interface RedactedTexts {
  readonly texts: readonly RecordedText[];
  readonly truncated: boolean;
}

export class Redactor {
  readonly #rules: readonly GuardRule[];
  /** Equal values have equal placeholders in the prompt and the answer. */
  readonly #guard: RequestGuard;

  constructor(rules: readonly GuardRule[]) {
    this.#rules = rules;
    this.#guard = new RequestGuard(rules);
  }

  /** Keeps at most `maxBytes`: of `first` or the last texts. Throws where a detector does. */
  redact({ texts, truncated }: CollectedTexts, maxBytes: number, keeps: 'first' | 'last'): RedactedTexts {
    const kept: RecordedText[] = [];
    let left = maxBytes;
    let isWhole = !truncated;
    for (const text of keeps === 'first' ? texts : texts.toReversed()) {
      const masked = text.isJson ? this.#json(text) : this.#text(text);
      if (masked === undefined || left <= 0) {
        isWhole = false;
        continue;
      }
      const bounded = startOf(masked, left);
      isWhole &&= bounded.length === masked.length;
      left -= Buffer.byteLength(bounded);
      if (bounded !== '') {
        kept.push({ scope: text.scope, isJson: text.isJson && bounded.length === masked.length, text: bounded });
      }
    }
    return { texts: keeps === 'first' ? kept : kept.reverse(), truncated: !isWhole };
  }

  /** Leaves out the part of a value that may go on behind the end of a text: nothing finds it. */
  #text({ text, isCut }: ContentText): string {
    const end = isCut
      ? Math.min(text.length, ...this.#rules.map(({ detector }) => detector.openFrom(text)))
      : text.length;
    return this.#masked(text.slice(0, end));
  }

  /** Masks the strings of a document as they are decoded, and then the rest, such as numbers. */
  #json({ text, isCut }: ContentText): string | undefined {
    if (this.#rules.length === 0) {
      return text;
    }
    if (isCut) {
      return undefined;
    }
    try {
      return this.#masked(JSON.stringify(this.#value(JSON.parse(text), 0)));
    } catch (error) {
      if (error instanceof SyntaxError || error instanceof TooDeep) {
        return undefined;
      }
      throw error;
    }
  }

  #value(value: unknown, depth: number): unknown {
    if (depth > MAX_DEPTH) {
      throw new TooDeep();
    }
    if (typeof value === 'string') {
      return this.#masked(value);
    }
    if (Array.isArray(value)) {
      return value.map((each) => this.#value(each, depth + 1));
    }
    if (typeof value === 'object' && value !== null) {
      const entries = Object.entries(value);
      return Object.fromEntries(entries.map(([key, each]) => [this.#masked(key), this.#value(each, depth + 1)]));
    }
    return value;
  }

  #masked(text: string): string {
    const findings: RuleFinding[] = [];
    const found: Finding[] = [];
    for (const rule of this.#rules) {
      rule.detector.find(text, 0, text.length, found);
      findings.push(...found.splice(0).map((finding) => ({ ...finding, rule })));
    }
    if (findings.length === 0) {
      return text;
    }
    let masked = '';
    let at = 0;
    for (const replacement of this.#guard.resolve('request', text, findings, false).replacements) {
      masked += text.slice(at, replacement.start) + replacement.text;
      at = replacement.end;
    }
    return masked + text.slice(at);
  }
}

class TooDeep extends Error {}

/** Returns the beginning of a text, in whole characters. */
function startOf(text: string, maxBytes: number): string {
  const whole = text.toWellFormed();
  if (Buffer.byteLength(whole) <= maxBytes) {
    return whole;
  }
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.from(whole).subarray(0, maxBytes), {
    stream: true,
  });
}
