/** How the memory store makes its state outlive the process. */
import type { Quota } from '../../contract/policy.ts';
import type { OpenHold, WindowState } from './bucket.ts';
import type { UsageRow } from './usage-record.ts';

/**
 * Persists changes. Objects that changed are noted and read at the flush, so only the last state of
 * a tick is written.
 */
export interface Journal {
  /** `mayWait`: a journaled hold already covers the change. */
  window(window: WindowState, mayWait?: boolean): void;
  windowReshaped(window: WindowState): void;
  windowGone(window: WindowState): void;
  hold(hold: OpenHold): void;
  quota(id: string, quota: Quota | undefined, removedMs?: number): void;
  /** Written with the next flush, together with a settlement of the same turn. */
  usage(row: UsageRow): void;
  /** Why nothing can be written at the moment. */
  readonly failure: string | undefined;
  flush(): void;
  close(): void;
}
