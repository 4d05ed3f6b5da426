/** Edits of the texts of a request: how each kind of text changes in its document. */
import type { Splice } from '../json/splice.ts';
import type { GuardRule, Replacement, RequestGuard } from './guard.ts';
import type { RequestText } from './text/requests/request-texts.ts';
import { escapedUnits, offsetOfUnit } from './text/string-units.ts';
import { blockUnmaskable } from './unmaskable.ts';

/** A text in which rules found something. */
export interface FlaggedText {
  readonly raw: Uint8Array;
  readonly text: RequestText;
  readonly units: string;
  readonly rules: readonly (GuardRule | undefined)[];
  readonly guard: RequestGuard;
}

/** Adds the edits of a text, unless the text cannot be changed. */
export function replaceText(found: FlaggedText, replacements: readonly Replacement[], out: Splice[]): void {
  const { text, units, rules, guard } = found;
  const { use, kind, start, end } = text;
  if (use.isSigned || (kind === 'key' && replacements.some(({ isShared }) => isShared))) {
    blockUnmaskable(guard, rules);
  } else if (kind !== 'number') {
    replaceUnits(found, replacements, out);
  } else if (replacements.length > 0) {
    // A placeholder is no number.
    out.push({ start, end, bytes: Buffer.from(JSON.stringify(replaced(units, replacements))) });
  }
}

function replaceUnits({ raw, text }: FlaggedText, replacements: readonly Replacement[], out: Splice[]): void {
  const { start, end, spelling } = text;
  let at = start;
  let unit = 0;
  const offsetOf = (index: number): number => {
    at = spelling === 'ascii' ? start + index : offsetOfUnit(raw, at, end, index - unit);
    unit = index;
    return at;
  };
  for (const edit of replacements) {
    const from = offsetOf(edit.start);
    out.push({ start: from, end: offsetOf(edit.end), bytes: Buffer.from(escapedUnits(edit.text)) });
  }
}

/** Returns a text with its replacements. */
function replaced(units: string, replacements: readonly Replacement[]): string {
  let result = '';
  let at = 0;
  for (const { start, end, text } of replacements) {
    result += units.slice(at, start) + text;
    at = end;
  }
  return result + units.slice(at);
}
