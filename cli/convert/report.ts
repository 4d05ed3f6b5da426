/** The report of a conversion: what became of each field of the source. */
import { printable } from '../terminal/printable.ts';
import type { FieldVerdict, SourceField } from './source-field.ts';

export interface ReportEntry {
  readonly file: string;
  readonly line?: number;
  /** Of a Kubernetes document. */
  readonly object?: string;
  readonly field: string;
  readonly verdict: FieldVerdict['type'];
  /** The objects and fields in the output. */
  readonly to?: string;
  /** How the meaning differs, or why there is no equal. */
  readonly text?: string;
  readonly fix?: string;
}

/** Why `kind` and the name of an object need no counterpart; each entry names the object. */
export const NAMES_OBJECT = 'it names the object';

const unknown: FieldVerdict = {
  type: 'NoEqual',
  why: 'the converter does not know the field',
  fix: 'look up what it does, and set what you need in the output',
};

const empty: FieldVerdict = { type: 'NotNeeded', why: 'the field is empty' };

/**
 * Lists what became of all fields. A verdict on an object holds for the fields below that have no
 * own; a field without any verdict has no equal.
 */
export function reportOf(roots: readonly SourceField[]): readonly ReportEntry[] {
  return roots.flatMap((root) => entriesBelow(root, false));
}

function entriesBelow(field: SourceField, isCovered: boolean): readonly ReportEntry[] {
  const own = field.verdicts.map((verdict) => entry(field, verdict));
  const covered = isCovered || own.length > 0;
  const members = field.isList ? field.items : [...field.members.values()];
  const below = members.flatMap((member) => entriesBelow(member, covered));
  const isUnread = members.length === 0 && !covered;
  return [...distinct(isUnread ? [entry(field, field.isEmpty ? empty : unknown)] : own), ...below];
}

function entry(field: SourceField, verdict: FieldVerdict): ReportEntry {
  const { file, line, object, path } = field;
  return {
    file,
    ...(line !== undefined && { line }),
    ...(object !== undefined && { object }),
    field: path,
    verdict: verdict.type,
    ...('to' in verdict && { to: verdict.to.draft.nameOf(verdict.to) }),
    ...('how' in verdict && { text: verdict.how }),
    ...('why' in verdict && { text: verdict.why }),
    ...('fix' in verdict && { fix: verdict.fix }),
  };
}

function distinct(entries: readonly ReportEntry[]): readonly ReportEntry[] {
  return [...new Map(entries.map((each) => [JSON.stringify(each), each])).values()];
}

const headings: Readonly<Record<FieldVerdict['type'], string>> = {
  NoEqual: 'have no equal',
  Differs: 'differ in meaning',
  Converted: 'are converted',
  NotNeeded: 'need no counterpart',
};

/** Formats entries for people, by verdict; a line for each, as compilers write them. */
export function reportText(entries: readonly ReportEntry[]): string {
  let text = '';
  for (const [verdict, heading] of Object.entries(headings)) {
    const of = entries.filter((each) => each.verdict === verdict && each.text !== NAMES_OBJECT);
    if (of.length > 0) {
      text += `${of.length} ${of.length === 1 ? 'field' : 'fields'} that ${heading}:\n${of.map(lineText).join('')}\n`;
    }
  }
  return `${text}${summary(entries)}\n`;
}

function lineText({ file, line, object, field, to, text, fix }: ReportEntry): string {
  const name = [object, field].filter(Boolean).join(' ');
  const where = `${file}${line === undefined ? '' : `:${line}`}: ${name === '' ? 'the document' : name}`;
  const rest = [to && ` → ${to}`, text && `: ${text}`, fix && `; fix: ${fix}`].filter(Boolean).join('');
  return `  ${printable(`${where}${rest}`)}\n`;
}

function summary(entries: readonly ReportEntry[]): string {
  const count = (verdict: FieldVerdict['type']) => entries.filter((each) => each.verdict === verdict).length;
  return `converted ${count('Converted')}, differs ${count('Differs')}, no equal ${count('NoEqual')}, not needed ${count('NotNeeded')}`;
}
