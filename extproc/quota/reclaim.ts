/** Takes back what open streams hold and do not use, so that no stream is cut and no request refused for it. */
import type { WindowState } from './bucket.ts';
import type { OpenHold } from './hold.ts';

/** Text that is tokenized at most to find out what is unused: some 3 ms of work. */
const mostCountedBytes = 16 * 1024;

/** `usual`: leases keep what such an output usually comes to. `used`: only what is used. */
export type Keeps = 'usual' | 'used';

/**
 * Takes back at least `tokens` in a window, or nothing where there is not so much. What a stream will probably not need goes first. They are asked in turn, and each one
 * gives all of it: the next ones who need some find it free.
 */
export function reclaim(
  window: WindowState,
  tokens: number,
  keeps: Keeps,
  asking: OpenHold | undefined,
  changed: (hold: OpenHold) => void,
): boolean {
  return (
    ask(window, tokens, true, asking, changed) || (keeps === 'used' && ask(window, tokens, false, asking, changed))
  );
}

function ask(
  window: WindowState,
  tokens: number,
  keepsUsual: boolean,
  asking: OpenHold | undefined,
  changed: (hold: OpenHold) => void,
): boolean {
  const { leases, lastAsked } = window;
  const work = { bytes: mostCountedBytes };
  const givers: { readonly hold: OpenHold; readonly gives: number }[] = [];
  let found = 0;
  for (let nth = 1; nth <= leases.length && found < tokens; nth++) {
    window.lastAsked = (lastAsked + nth) % leases.length;
    const hold = leases[window.lastAsked]!.lease!;
    const gives = hold === asking ? 0 : (hold.holder?.unused(keepsUsual ? hold.usualTokens! : 0, work) ?? 0);
    if (gives > 0) {
      givers.push({ hold, gives });
      found += gives;
    }
  }
  if (found < tokens) {
    return false;
  }
  for (const { hold, gives } of givers) {
    hold.holder!.giveBack(gives);
    hold.grow(-gives);
    changed(hold);
  }
  return true;
}
