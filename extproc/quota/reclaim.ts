/**
 * Takes back what open streams hold and do not use, before a stream is cut or a request refused for
 * lack of budget.
 */
import type { OpenHold, WindowState } from './bucket.ts';

/** Text that may be tokenized to find out what is unused: about 3 ms of work. */
const MAX_COUNTED_BYTES = 16 * 1024;

/**
 * `usual`: leases keep the usual output of such a stream. `used`: leases keep only what is used.
 */
export type ReclaimPolicy = 'usual' | 'used';

/**
 * Takes back at least `units` in a window, or nothing where the leases have less to give. What a
 * stream will probably not need is taken first. Streams are asked in turn, and each gives all that
 * it can, so that the next requests find something free.
 */
export function reclaim(
  window: WindowState,
  units: number,
  policy: ReclaimPolicy,
  asking: OpenHold | undefined,
  changed: (hold: OpenHold) => void,
): boolean {
  return (
    takeBack(window, units, true, asking, changed) ||
    (policy === 'used' && takeBack(window, units, false, asking, changed))
  );
}

function takeBack(
  window: WindowState,
  units: number,
  keepUsual: boolean,
  asking: OpenHold | undefined,
  changed: (hold: OpenHold) => void,
): boolean {
  const { leases, lastAsked } = window;
  const work = { bytes: MAX_COUNTED_BYTES };
  const givers: { readonly hold: OpenHold; readonly tokens: number }[] = [];
  let found = 0;
  for (let step = 1; step <= leases.length && found < units; step++) {
    window.lastAsked = (lastAsked + step) % leases.length;
    const part = leases[window.lastAsked]!;
    const hold = part.lease!;
    const tokens = hold === asking ? 0 : (hold.holder?.unused(keepUsual ? hold.usualTokens! : 0, work) ?? 0);
    if (tokens > 0) {
      givers.push({ hold, tokens });
      found += part.perOutputToken * tokens;
    }
  }
  if (found < units) {
    return false;
  }
  for (const { hold, tokens } of givers) {
    hold.holder!.giveBack(tokens);
    hold.grow(-tokens);
    changed(hold);
  }
  return true;
}

/** Lowers the held input to its counted number. Returns whether it holds less than before. */
export function recountInput(hold: OpenHold, changed: (hold: OpenHold) => void): boolean {
  const counted = hold.holder?.countedInput();
  if (counted === undefined || !hold.lowerInput(counted)) {
    return false;
  }
  changed(hold);
  return true;
}
