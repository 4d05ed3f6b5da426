/**
 * The records of the journal, and how lines of records fold into states. A line is a checksum and
 * one JSON array of records; it counts as a whole or not at all. Records are states, not steps:
 * reading a record twice, or after another was lost, does no harm.
 */
import { crc32 } from 'node:zlib';
import { isSubjectRow, isUsageRow, type UsageRow } from './usage-record.ts';

export type JournalRecord =
  /** The definition of a quota; null: its last bucket is gone. */
  | readonly ['q', id: string, definition: string | null]
  /** A new window, or new bounds of a window: drops all of its segments. */
  | readonly ['b', window: number, quota: string, key: string, values: readonly string[], kind: string, startMs: number]
  | readonly ['w', window: number, spent: number, carried: number, over: number]
  /** A segment of a sliding window. */
  | readonly ['s', window: number, segment: number, amount: number]
  | readonly ['x', window: number]
  /** An open hold: pairs of a window and the units held. */
  | readonly ['h', hold: number, parts: readonly (readonly [window: number, units: number])[]]
  /** Whom an open hold is for; follows its first `h`. */
  | readonly ['i', hold: number, subject: HoldSubject]
  | readonly ['d', hold: number]
  /** What a request used. Ids grow. */
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
  readonly segments: Map<number, number>;
}

export type HoldParts = readonly (readonly [window: number, units: number])[];

/** The values of `subjectRow`. */
type HoldSubject = readonly (string | null)[];

/** What the journal has of an open hold. */
export interface JournaledHold {
  readonly parts: HoldParts;
  readonly subject: HoldSubject | undefined;
}

/** Returns the line of these records, with its line end. */
export function journalLine(records: string): Buffer {
  return Buffer.from(`${checksum(records)} ${records}\n`);
}

function checksum(records: string): string {
  return crc32(records).toString(16).padStart(8, '0');
}

/**
 * Returns the records of a line; undefined: it is damaged. Journals of schema version 1 have lines
 * without a checksum.
 */
function recordsOf(line: string): readonly JournalRecord[] | undefined {
  const text = line.startsWith('[') ? line : line.slice(9);
  if (text !== line && line.slice(0, 9) !== `${checksum(text)} `) {
    return undefined;
  }
  try {
    const records: unknown = JSON.parse(text);
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
  s: [isCount, isCount, isCount],
  x: [isCount],
  h: [isCount, (value) => Array.isArray(value) && value.every(isPart)],
  i: [isCount, isSubjectRow],
  d: [isCount],
  u: [isCount, isUsageRow],
};

function isRecord(value: unknown): value is JournalRecord {
  if (!Array.isArray(value) || !Object.hasOwn(forms, value[0])) {
    return false;
  }
  const form = forms[value[0] as JournalRecord[0]];
  return value.length === form.length + 1 && form.every((isValid, index) => isValid(value[index + 1]));
}

/** The last states in a sequence of lines. */
export class JournalBatch {
  readonly quotas = new Map<string, string | null>();
  /** undefined: the window is gone. */
  readonly windows = new Map<number, WindowChange | undefined>();
  /** undefined: the hold is settled. */
  readonly holds = new Map<number, JournaledHold | undefined>();
  /** By id, in the order of the lines. */
  readonly usage = new Map<number, UsageRow>();

  get isEmpty(): boolean {
    return this.quotas.size + this.windows.size + this.holds.size + this.usage.size === 0;
  }

  /** Adds a line. Returns false for a damaged line, which is ignored as a whole. */
  add(line: string): boolean {
    const records = recordsOf(line);
    if (records === undefined) {
      return false;
    }
    for (const record of records) {
      this.#fold(record);
    }
    return true;
  }

  #fold(record: JournalRecord): void {
    switch (record[0]) {
      case 'q':
        this.quotas.set(record[1], record[2]);
        break;
      case 'b': {
        const [, id, quota, key, values, kind, startMs] = record;
        this.windows.set(id, {
          identity: { quota, key, values, kind, startMs },
          sums: undefined,
          segments: new Map(),
        });
        break;
      }
      case 'w':
        this.#change(record[1]).sums = [record[2], record[3], record[4]];
        break;
      case 's':
        this.#change(record[1]).segments.set(record[2], record[3]);
        break;
      case 'x':
        this.windows.set(record[1], undefined);
        break;
      case 'h':
        this.holds.set(record[1], { parts: record[2], subject: this.holds.get(record[1])?.subject });
        break;
      case 'i': {
        const hold = this.holds.get(record[1]);
        if (hold !== undefined) {
          this.holds.set(record[1], { parts: hold.parts, subject: record[2] });
        }
        break;
      }
      case 'u':
        this.usage.set(record[1], record[2]);
        break;
      case 'd':
        this.holds.set(record[1], undefined);
        break;
    }
  }

  #change(id: number): WindowChange {
    let change = this.windows.get(id);
    if (change === undefined) {
      change = { identity: undefined, sums: undefined, segments: new Map() };
      this.windows.set(id, change);
    }
    return change;
  }
}
