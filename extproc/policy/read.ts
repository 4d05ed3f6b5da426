/**
 * Reads a policy as it was sent, in slices, so that nothing holds the event loop, however many routes there are: each rule, backend and quota stands on a line
 * of its own. What a line says is kept as long as policies have it, so that most of a new policy is the same objects as before.
 */
import type { GatewayPolicy } from '../../contract/policy.ts';

const SLICE_MS = 2;
const LINE_END = 0x0a;
const OPENING = 0x7b;

export interface PolicyReader {
  /** Throws where it is no JSON. One policy at a time. */
  read(content: Buffer): Promise<GatewayPolicy>;
}

/** `pause` lets others work. */
export function newPolicyReader(pause: () => Promise<void> = untilLater): PolicyReader {
  let known: ReadonlyMap<string, unknown> = new Map();
  return {
    async read(content) {
      const next = new Map<string, unknown>();
      const pieces: unknown[] = [];
      const frame: string[] = [];
      let sinceMs = performance.now();
      for (let start = 0; start < content.length; ) {
        const found = content.indexOf(LINE_END, start);
        const end = found < 0 ? content.length : found;
        const text = content.toString('utf8', start, end);
        // What is around the pieces begins the first line, and no other, so.
        if (start > 0 && content[start] === OPENING) {
          const piece = text.endsWith(',') ? text.slice(0, -1) : text;
          const value = next.get(piece) ?? known.get(piece) ?? JSON.parse(piece);
          next.set(piece, value);
          frame.push(String(pieces.push(value) - 1), text.endsWith(',') ? ',' : '');
        } else frame.push(text);
        start = end + 1;
        if (performance.now() - sinceMs < SLICE_MS) continue;
        await pause();
        sinceMs = performance.now();
      }
      await pause();
      const policy = joined(JSON.parse(frame.join('')) as GatewayPolicy, pieces);
      known = next;
      // Who takes it has a slice of its own.
      await pause();
      return policy;
    },
  };
}

/** Pieces are numbers in the frame. Content that was not written in lines has none. */
function joined(frame: GatewayPolicy, pieces: readonly unknown[]): GatewayPolicy {
  const all = <Item>(items: readonly Item[]): readonly Item[] =>
    items.map((each) => (typeof each === 'number' ? (pieces[each] as Item) : each));
  return {
    ...frame,
    entries: frame.entries.map((entry) => ({
      ...entry,
      rules: all(entry.rules),
      passthrough: all(entry.passthrough),
    })),
    backends: all(frame.backends),
    quotas: all(frame.quotas),
  };
}

function untilLater(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
