/**
 * Load on several gateways that share budgets: streams and JSON responses at once, some of which
 * their clients leave; and the comparison of what they were charged with what the provider made.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../../tools/fuzz/random.ts';
import { call, open } from './client.ts';
import type { Gateway } from './gateway.ts';
import type { AccessRecord } from './records.ts';
import type { Seen } from './seen.ts';
import { wordCount } from './words.ts';

const REFUSAL_PAUSE_MS = 250;
const PROMPT = 'Tell me a long story of the sea and of the people who live beside it.';

export interface SharedLoadOptions {
  /** Of each team. */
  readonly streams: number;
  /** JSON responses of each team. */
  readonly responses: number;
  readonly seconds: number;
  /** Each team names its own model, whose rule has the budget. */
  readonly teams: readonly { readonly team: string; readonly model: string }[];
}

/** What came of requests. */
export interface Outcomes {
  /** Requests by status, `left` or `broken`. */
  readonly counts: ReadonlyMap<string, number>;
  /** Output tokens that a client had when it left its stream, by the request id. */
  readonly received: ReadonlyMap<string, number>;
}

/** Spends until the time is over, and waits until all requests have ended. */
export async function spend(
  gateways: readonly Gateway[],
  { streams, responses, seconds, teams }: SharedLoadOptions,
  random: Random,
): Promise<Outcomes> {
  const counts = new Map<string, number>();
  const received = new Map<string, number>();
  const untilMs = performance.now() + seconds * 1_000;
  const worker = async (index: number, kind: 'stream' | 'json', who: SharedLoadOptions['teams'][number]) => {
    const gateway = gateways[index % gateways.length]!;
    await sleep(random.between(0, 500));
    while (performance.now() < untilMs) {
      const outcome = await ask(gateway, kind, who, random, received).catch(() => 'broken');
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
      if (outcome !== '200' && outcome !== 'left') {
        await sleep(REFUSAL_PAUSE_MS);
      }
    }
  };
  await Promise.all(
    teams.flatMap((who) => [
      ...Array.from({ length: streams }, (_, index) => worker(index, 'stream', who)),
      ...Array.from({ length: responses }, (_, index) => worker(index, 'json', who)),
    ]),
  );
  return { counts, received };
}

/** Sends one request. Of eight streams, one client leaves, and notes in `received` what it has. */
export async function ask(
  gateway: Gateway,
  kind: 'stream' | 'json',
  { team, model }: SharedLoadOptions['teams'][number],
  random: Random,
  received = new Map<string, number>(),
): Promise<string> {
  const url = `${gateway.url}/v1/chat/completions`;
  const body = { model, messages: [{ role: 'user', content: PROMPT }] };
  const headers = { 'x-team': team };
  if (kind === 'json') {
    const mock = { tokens: random.between(20, 120), delayMs: random.between(50, 400) };
    const answer = await call(url, { ...body, max_completion_tokens: 150 }, { headers, mock });
    return answer.complete ? String(answer.status) : 'broken';
  }
  const mock = { tokens: random.between(40, 400), tokensAChunk: 4, paceMs: random.between(20, 60) };
  const stream = await open(url, { ...body, stream: true }, { headers, mock });
  if (random.between(0, 7) === 0) {
    await sleep(random.between(20, 600));
    stream.abort();
    const { text, complete } = await stream.done;
    if (!complete && stream.status === 200) {
      received.set(String(stream.headers['x-request-id']), outputTokensOf(text));
    }
    return 'left';
  }
  const answer = await stream.done;
  return answer.complete ? String(answer.status) : 'broken';
}

/** Returns the tokens in the complete and incomplete events of a stream. */
function outputTokensOf(text: string): number {
  const contents = [...text.matchAll(/"content":"([^"]*)/g)].map(([, content = '']) => content);
  return wordCount(contents.join(''));
}

/** What one request was charged, and what the provider made. */
export interface Settlement {
  readonly record: AccessRecord;
  readonly seen: Seen;
  /** Complete on both sides. Others were cut, left or broken. */
  readonly finished: boolean;
  /** What the client had when it left. */
  readonly received: number | undefined;
}

/** Joins access records with what the provider saw, by the request id. */
export function settlements(
  gateways: readonly Gateway[],
  seen: readonly Seen[],
  received: Outcomes['received'],
): readonly Settlement[] {
  const made = new Map(seen.map((one) => [one.headers['x-request-id'], one]));
  return gateways.flatMap(({ records }) =>
    records.flatMap((record) => {
      const { requestId, clientLeft } = JSON.parse(record.line) as {
        readonly requestId: string;
        readonly clientLeft?: boolean;
      };
      const one = made.get(requestId);
      const isCharged = record.outputTokens !== undefined || record.inputTokens !== undefined;
      return one === undefined || !isCharged
        ? []
        : [
            {
              record,
              seen: one,
              finished: one.endedAtMs !== undefined && clientLeft !== true && record.decision === 'admitted',
              received: received.get(requestId),
            },
          ];
    }),
  );
}
