/**
 * Reads the probe's lines about the processor's event loop, and separates the processor's own work
 * from other causes.
 */

export type Entry =
  | {
      readonly type: 'held';
      readonly fromMs: number;
      readonly toMs: number;
      readonly cpuMs: number;
      /** The thread was ready to run, and other programs had the processor. */
      readonly waitedMs: number;
    }
  | { readonly type: 'gc'; readonly fromMs: number; readonly toMs: number };

/**
 * Linux counts a thread's CPU time at its clock ticks (250 a second): a difference may be off by
 * one.
 */
const CPU_TICK_MS = 4;

export interface Worst {
  /** Wall time in which nothing else could run. */
  readonly heldMs: number;
  /**
   * The longest block, without garbage collection and without time in which other programs had the
   * processor.
   */
  readonly workMs: number;
  readonly gcMs: number;
}

export function entriesOf(text: string): readonly Entry[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Entry);
}

export function worst(entries: readonly Entry[]): Worst {
  const pauses = entries.filter(({ type }) => type === 'gc');
  let [heldMs, workMs] = [0, 0];
  for (const hold of entries) {
    if (hold.type !== 'held') {
      continue;
    }
    const length = hold.toMs - hold.fromMs;
    const paused = pauses.reduce((total, pause) => total + overlap(hold, pause), 0);
    heldMs = Math.max(heldMs, length);
    // The CPU time is what shows that a hypervisor took the processor away.
    workMs = Math.max(workMs, Math.min(length - hold.waitedMs, hold.cpuMs + CPU_TICK_MS) - paused);
  }
  return { heldMs, workMs, gcMs: Math.max(0, ...pauses.map(({ fromMs, toMs }) => toMs - fromMs)) };
}

function overlap(one: Entry, other: Entry): number {
  return Math.max(0, Math.min(one.toMs, other.toMs) - Math.max(one.fromMs, other.fromMs));
}
