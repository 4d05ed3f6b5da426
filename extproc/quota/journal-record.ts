/**
 * The records of the journal, and how lines of records fold into states. A line is a checksum, one
 * JSON array of records and, after a tab, one of usage; it counts as a whole or not at all. Records
 * are states, not steps: reading a record twice, or after another was lost, does no harm.
 */
import { crc32 } from 'node:zlib';
import { IntegerTable, type IntegerTableEntry } from '../../runtime/integer-table.ts';
import { isSubjectRow, isUsageRow, type UsageRow } from './usage-record.ts';

export type JournalRecord =
  /** The definition of a quota; null: its last bucket is gone. */
  | readonly ['q', id: string, definition: string | null]
  /** A new window, or new bounds of a window: drops all of its segments. */
  | readonly ['b', window: number, quota: string, key: string, values: readonly string[], kind: string, startMs: number]
  | readonly ['w', window: number, spent: number, carried: number, over: number]
  /** What an operator added to the limit of a window, and until when; 0: until its end. */
  | readonly ['g', window: number, units: number, untilMs: number]
  /** A segment of a sliding window. */
  | readonly ['s', window: number, segment: number, amount: number]
  | readonly ['x', window: number]
  /** An open hold: pairs of a window and the units held. */
  | readonly ['h', hold: number, parts: readonly (readonly [window: number, units: number])[]]
  /** Whom an open hold is for; follows its first `h`. */
  | readonly ['i', hold: number, subject: HoldSubject]
  | readonly ['d', hold: number]
  /** What an operator did, as JSON. Ids grow. */
  | readonly ['a', id: number, entry: string]
  /** What a request used, in lines of schema version 3. */
  | readonly ['u', id: number, row: UsageRow];

export interface WindowIdentity {
  readonly quota: string;
  readonly key: string;
  readonly values: readonly string[];
  readonly kind: string;
  readonly startMs: number;
}

/** The changes of one window. */
export interface WindowChange {
  identity: WindowIdentity | undefined;
  sums: readonly [spent: number, carried: number, over: number] | undefined;
  grant: readonly [units: number, untilMs: number] | undefined;
  readonly segments: Map<number, number>;
}

export type HoldParts = readonly (readonly [window: number, units: number])[];

/** The values of `subjectRow`. */
export type HoldSubject = readonly (string | null)[];

/** What the journal has of a hold. */
export class JournaledHold implements IntegerTableEntry {
  readonly id: number;
  /** Undefined: it is settled. */
  parts: HoldParts | undefined;
  subject: HoldSubject | undefined;
  nextInSlot: this | undefined = undefined;

  constructor(id: number, parts: HoldParts | undefined) {
    this.id = id;
    this.parts = parts;
  }
}

/** A checksum and a space. */
const PREFIX_BYTES = 9;
const TAB = 9;
const BRACKET = 91;

/**
 * Returns the line of these records, with its line end. `usage`: what `usageText` returns, or an
 * empty text.
 */
export function journalLine(records: string, usage: string): Buffer {
  const line = Buffer.from(`00000000 ${records}${usage === '' ? '' : `\t${usage}`}\n`);
  line.write(checksum(line.subarray(PREFIX_BYTES, -1)), 0, 'latin1');
  return line;
}

/** Returns the part of a line with these records. */
export function recordsText(records: readonly JournalRecord[]): string {
  let text = '';
  for (const record of records) {
    text += `${text === '' ? '[' : ','}${recordText(record)}`;
  }
  return text === '' ? '[]' : `${text}]`;
}

/**
 * Formats the records of every request by hand: they are numbers only, and this takes a fifth of
 * the time.
 */
function recordText(record: JournalRecord): string {
  switch (record[0]) {
    case 'w':
      return `["w",${record[1]},${record[2]},${record[3]},${record[4]}]`;
    case 's':
      return `["s",${record[1]},${record[2]},${record[3]}]`;
    case 'h':
      return `["h",${record[1]},[${record[2].map(([window, units]) => `[${window},${units}]`).join()}]]`;
    case 'd':
      return `["d",${record[1]}]`;
    default:
      return JSON.stringify(record);
  }
}

/** Returns the part of a line with these rows of usage, in JSON, whose ids are consecutive. */
export function usageText(lastId: number, rows: readonly string[]): string {
  return rows.length === 0 ? '' : `[${lastId},${rows.join()}]`;
}

function checksum(bytes: Buffer): string {
  return crc32(bytes).toString(16).padStart(8, '0');
}

/** The parts of a line, which are JSON. */
interface JournalLine {
  readonly records: Buffer;
  readonly usage: Buffer | undefined;
}

/**
 * Returns the parts of a line; undefined: it is damaged. Journals of schema version 1 have lines
 * without a checksum.
 */
function partsOf(line: Buffer): JournalLine | undefined {
  const text = line[0] === BRACKET ? line : line.subarray(PREFIX_BYTES);
  if (text !== line && line.toString('latin1', 0, PREFIX_BYTES) !== `${checksum(text)} `) {
    return undefined;
  }
  const tab = text.indexOf(TAB);
  return tab < 0
    ? { records: text, usage: undefined }
    : { records: text.subarray(0, tab), usage: text.subarray(tab + 1) };
}

/** Calls `onUsage` with the usage of a line, as texts of `usageText`, unless it is damaged. */
export function readUsage(line: Buffer, onUsage: (text: Buffer) => void): void {
  const parts = partsOf(line);
  if (parts?.usage !== undefined) {
    onUsage(parts.usage);
  } else if (parts?.records.includes('["u",')) {
    for (const record of recordsOf(parts.records) ?? []) {
      if (record[0] === 'u' && isUsageRow(record[2])) {
        onUsage(Buffer.from(usageText(record[1], [JSON.stringify(record[2])])));
      }
    }
  }
}

/** Adds the usage of a text of `usageText`. */
export function addUsage(text: string, rows: Map<number, UsageRow>): void {
  const [lastId, ...read] = JSON.parse(text) as [number, ...UsageRow[]];
  for (const [index, row] of read.entries()) {
    if (isUsageRow(row)) {
      rows.set(lastId - read.length + 1 + index, row);
    }
  }
}

/** Returns undefined for text that is no array of records. */
function recordsOf(text: Buffer): readonly JournalRecord[] | undefined {
  try {
    const records: unknown = JSON.parse(text.toString());
    return Array.isArray(records) && records.every(isRecord) ? records : undefined;
  } catch {
    return undefined;
  }
}

const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const isText = (value: unknown) => typeof value === 'string';
const isPart = (value: unknown) => Array.isArray(value) && value.length === 2 && value.every(isCount);

const forms: Readonly<Record<JournalRecord[0], readonly ((value: unknown) => boolean)[]>> = {
  q: [isText, (value) => value === null || isText(value)],
  b: [isCount, isText, isText, (value) => Array.isArray(value) && value.every(isText), isText, Number.isFinite],
  w: [isCount, isCount, isCount, isCount],
  g: [isCount, isCount, isCount],
  s: [isCount, isCount, isCount],
  x: [isCount],
  h: [isCount, (value) => Array.isArray(value) && value.every(isPart)],
  i: [isCount, isSubjectRow],
  d: [isCount],
  a: [isCount, isText],
  u: [isCount, Array.isArray],
};

function isRecord(value: unknown): value is JournalRecord {
  if (!Array.isArray(value) || !Object.hasOwn(forms, value[0])) {
    return false;
  }
  const form = forms[value[0] as JournalRecord[0]];
  return value.length === form.length + 1 && form.every((isValid, index) => isValid(value[index + 1]));
}

const MAX_ID_DIGITS = 16;

/** The last states in a sequence of records. */
export class JournalBatch {
  readonly quotas = new Map<string, string | null>();
  /** undefined: the window is gone. */
  readonly windows = new Map<number, WindowChange | undefined>();
  readonly holds = new IntegerTable<JournaledHold>();
  readonly audit = new Map<number, string>();
  /** The id of the last record of usage, which the lines have for others to read; 0: none. */
  lastUsageId = 0;
  /** The highest number of a hold, in these or earlier records. */
  newestHold: number;
  /** Holds with higher numbers begin in this batch. */
  readonly #newestBefore: number;

  /** `newestBefore`: the highest number of a hold in earlier records, where it is known. */
  constructor(newestBefore?: number) {
    this.newestHold = newestBefore ?? 0;
    this.#newestBefore = newestBefore ?? Number.POSITIVE_INFINITY;
  }

  get isEmpty(): boolean {
    return this.quotas.size + this.windows.size + this.holds.size + this.audit.size === 0;
  }

  /** Adds a line. Returns false for a damaged line, which is ignored as a whole. */
  add(line: Buffer): boolean {
    const parts = partsOf(line);
    const records = parts && recordsOf(parts.records);
    if (records === undefined) {
      return false;
    }
    for (const record of records) {
      this.fold(record);
    }
    if (parts?.usage !== undefined) {
      this.sawUsage(Number.parseInt(parts.usage.toString('latin1', 1, 1 + MAX_ID_DIGITS), 10));
    }
    return true;
  }

  /** Notes the id of a record of usage. */
  sawUsage(id: number): void {
    this.lastUsageId = Math.max(this.lastUsageId, id);
  }

  fold(record: JournalRecord): void {
    switch (record[0]) {
      case 'q':
        this.quotas.set(record[1], record[2]);
        break;
      case 'b': {
        const [, id, quota, key, values, kind, startMs] = record;
        this.windows.set(id, {
          identity: { quota, key, values, kind, startMs },
          sums: undefined,
          grant: undefined,
          segments: new Map(),
        });
        break;
      }
      case 'w':
        this.#change(record[1]).sums = [record[2], record[3], record[4]];
        break;
      case 'g':
        this.#change(record[1]).grant = [record[2], record[3]];
        break;
      case 's':
        this.#change(record[1]).segments.set(record[2], record[3]);
        break;
      case 'x':
        this.windows.set(record[1], undefined);
        break;
      case 'h':
        this.newestHold = Math.max(this.newestHold, record[1]);
        this.#hold(record[1]).parts = record[2];
        break;
      case 'i': {
        const hold = this.holds.get(record[1]);
        if (hold?.parts !== undefined) {
          hold.subject = record[2];
        }
        break;
      }
      case 'a':
        this.audit.set(record[1], record[2]);
        break;
      case 'u':
        this.sawUsage(record[1]);
        break;
      case 'd':
        this.#settled(record[1]);
        break;
    }
  }

  #hold(id: number): JournaledHold {
    let hold = this.holds.get(id);
    if (hold === undefined) {
      hold = new JournaledHold(id, undefined);
      this.holds.add(hold);
    }
    return hold;
  }

  /** A hold that begins and ends in this batch leaves nothing. */
  #settled(id: number): void {
    const hold = this.#hold(id);
    hold.parts = undefined;
    hold.subject = undefined;
    if (id > this.#newestBefore) {
      this.holds.delete(hold);
    }
  }

  #change(id: number): WindowChange {
    let change = this.windows.get(id);
    if (change === undefined) {
      change = { identity: undefined, sums: undefined, grant: undefined, segments: new Map() };
      this.windows.set(id, change);
    }
    return change;
  }
}
