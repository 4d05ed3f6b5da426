/**
 * What the journal says, and how lines of it fold into states. A line is one JSON array of records and is whole or is not there. Records are states,
 * not steps: reading one twice, or after a later one was lost, does no harm.
 */

export type JournalRecord =
  /** A quota's definition; null: no bucket has it any more. */
  | readonly ['q', id: string, definition: string | null]
  /** A window that is new here, or has new bounds: all its segments are gone. */
  | readonly ['b', window: number, quota: string, key: string, values: readonly string[], kind: string, startMs: number]
  | readonly ['w', window: number, spent: number, carried: number, over: number]
  /** A segment of a sliding window. */
  | readonly ['s', window: number, segment: number, amount: number]
  | readonly ['x', window: number]
  /** An open hold: pairs of window and tokens held. */
  | readonly ['h', hold: number, parts: readonly (readonly [window: number, tokens: number])[]]
  | readonly ['d', hold: number];

export interface WindowIdentity {
  readonly quota: string;
  readonly key: string;
  readonly values: readonly string[];
  readonly kind: string;
  readonly startMs: number;
}

/** What is to be changed for one window. */
export interface WindowChange {
  identity: WindowIdentity | undefined;
  sums: readonly [spent: number, carried: number, over: number] | undefined;
  readonly segments: Map<number, number>;
}

export type HoldParts = readonly (readonly [window: number, tokens: number])[];

/** The last states that a run of lines says. */
export class Batch {
  readonly quotas = new Map<string, string | null>();
  /** undefined: it is gone. */
  readonly windows = new Map<number, WindowChange | undefined>();
  /** undefined: it is settled. */
  readonly holds = new Map<number, HoldParts | undefined>();

  get isEmpty(): boolean {
    return this.quotas.size === 0 && this.windows.size === 0 && this.holds.size === 0;
  }

  /** Adds a line; false: it is not whole (the process or the machine ended while it was written). */
  add(line: string): boolean {
    let records: readonly JournalRecord[];
    try {
      records = JSON.parse(line) as readonly JournalRecord[];
    } catch {
      return false;
    }
    for (const record of records) {
      this.fold(record);
    }
    return true;
  }

  private fold(record: JournalRecord): void {
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
        this.change(record[1]).sums = [record[2], record[3], record[4]];
        break;
      case 's':
        this.change(record[1]).segments.set(record[2], record[3]);
        break;
      case 'x':
        this.windows.set(record[1], undefined);
        break;
      case 'h':
        this.holds.set(record[1], record[2]);
        break;
      case 'd':
        this.holds.set(record[1], undefined);
        break;
    }
  }

  private change(id: number): WindowChange {
    let change = this.windows.get(id);
    if (change === undefined) {
      change = { identity: undefined, sums: undefined, segments: new Map() };
      this.windows.set(id, change);
    }
    return change;
  }
}
