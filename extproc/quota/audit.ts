/** What operators changed of the budgets, and who did it: kept in the journal. */

export interface AuditEntry {
  readonly time: string;
  readonly action: 'reset' | 'grant';
  /** `NAMESPACE/POLICY/QUOTA`. */
  readonly quota: string;
  /** The values of the key; absent: all keys of the quota. */
  readonly key?: readonly string[];
  /** What was granted. Amounts of money are decimal numbers in text. */
  readonly amount?: number | string;
  /** How many budgets were reset, and what was spent of them. */
  readonly budgets?: number;
  readonly spent?: number | string;
  /** Absent: the quota does not count cost. */
  readonly currency?: string;
  /** The user who ran the command, as the command knows it. */
  readonly by: string;
  readonly reason?: string;
}

/** The most entries that are kept; the oldest go first. */
export const MAX_AUDIT_ENTRIES = 1_000;

/** The entries, oldest first. */
export class AuditTrail {
  readonly #entries: AuditEntry[];
  readonly #write: (entry: string) => void;

  /** `kept`: JSON of earlier processes. `write` makes an entry outlive the process. */
  constructor(kept: readonly string[], write: (entry: string) => void) {
    this.#entries = kept.map((text) => JSON.parse(text) as AuditEntry);
    this.#write = write;
  }

  add(entry: AuditEntry): void {
    this.#entries.push(entry);
    if (this.#entries.length > MAX_AUDIT_ENTRIES) {
      this.#entries.shift();
    }
    this.#write(JSON.stringify(entry));
  }

  entries(quota: string | undefined): readonly AuditEntry[] {
    return this.#entries.filter((entry) => quota === undefined || entry.quota === quota);
  }
}
