/** Streams behind guardrails, for tests. */
import type { RequestGuard } from '../guard.ts';
import { guardWith } from '../testing/guards.ts';
import { ChannelText } from './channel-text.ts';
import type { ChannelKind } from './edited-text.ts';
import { GuardedStream, type HoldBackLimits } from './guarded-stream.ts';

export const LIMITS: HoldBackLimits = { bytes: 64 * 1024, ms: 2000 };

const newText = (guard: RequestGuard) => (kind: ChannelKind) =>
  new ChannelText(kind, guard, { rules: true, placeholders: true });

export interface Passed {
  readonly events: readonly string[];
  readonly stream: GuardedStream;
  /** After each event: how many have left. */
  readonly left: readonly number[];
}

/** Passes events through the guardrails, at these times. */
export function pass(
  events: readonly string[],
  guard = guardWith(),
  limits = LIMITS,
  atMs: readonly number[] = [],
): Passed {
  const sent: string[] = [];
  const stream = new GuardedStream(guard, newText(guard), limits, (bytes, start, end) => {
    sent.push(Buffer.from(bytes.subarray(start, end)).toString('latin1'));
  });
  const left: number[] = [];
  for (const [place, event] of events.entries()) {
    // Overwrites the event after use, as the read buffer is in production.
    const bytes = Buffer.from(event, 'utf8');
    stream.event(bytes, 0, bytes.length, atMs[place] ?? 0);
    bytes.fill(0xdb);
    left.push(sent.length);
  }
  stream.end();
  return { events: sent.map((one) => Buffer.from(one, 'latin1').toString()), stream, left };
}
