/** How replicas share what is left of a budget. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newRandom, type Random } from '../../../tools/fuzz/random.ts';
import type { OutputDemand } from '../store.ts';
import { bound, bucket, demand, granted, hour, lease, noOutput, quota } from '../testing.ts';
import { Replicas, type TestReplica } from './testing/replicas.ts';

const LIMIT = 3_000;
const INPUT_TOKENS = 12;
const OUTPUT_TOKENS = 50;
/** From the need of a replica to the grant of what another has unused, near the end of a budget. */
const BOUND_MS = 300;

const tokens = quota('TotalTokens', LIMIT, { window: hour, queueTimeoutMs: 0 });

interface Drained {
  spent: number;
  /** Requests refused although tokens were left. */
  held: number;
  endMs: number | undefined;
}

/** Sends requests one after another until one is refused as spent. */
function drain(replicas: Replicas, replica: TestReplica, output: OutputDemand, heldInput: number, random: Random) {
  const drained: Drained = { spent: 0, held: 0, endMs: undefined };
  const { time } = replicas;
  const next = () =>
    replica.store.reserve(demand([bucket(tokens)], time.nowMs, heldInput, output), (decision) => {
      if (decision.type === 'granted') {
        const amount = INPUT_TOKENS + Math.min(OUTPUT_TOKENS, decision.outputTokens);
        drained.spent += amount;
        time.schedule(random.between(4, 15), () => {
          replicas.settle(replica, decision.hold, amount);
          time.schedule(1, next);
        });
      } else if (decision.type === 'refused' && decision.reason === 'spent') {
        drained.endMs = time.nowMs;
      } else {
        drained.held++;
        time.schedule(1, next);
      }
    });
  next();
  return drained;
}

const drains = [
  { name: 'responses of a known length', output: bound(OUTPUT_TOKENS, OUTPUT_TOKENS), heldInput: INPUT_TOKENS },
  { name: 'requests that hold more than they spend', output: bound(OUTPUT_TOKENS, OUTPUT_TOKENS), heldInput: 40 },
  { name: 'responses as long as the budget allows', output: bound(4_096, 1), heldInput: INPUT_TOKENS },
  { name: 'streams', output: lease(200, 20), heldInput: 40 },
];
for (const { name, output, heldInput } of drains) {
  test(`two replicas use up a budget without waiting for what the other cannot use: ${name}`, () => {
    for (let seed = 1; seed <= 12; seed++) {
      const random = newRandom(seed);
      const replicas = new Replicas();
      const startMs = replicas.time.nowMs;
      const results = [replicas.add([tokens]), replicas.add([tokens])].map((replica) =>
        drain(replicas, replica, output, heldInput, random),
      );
      replicas.time.pass(1_000);
      const [one, other] = results as [Drained, Drained];
      const took = results.map(({ endMs }) => (endMs ?? Number.POSITIVE_INFINITY) - startMs);
      assert.ok(Math.max(...took) <= 800, `seed ${seed}: ${took} ms`);
      assert.deepEqual([one.held, other.held], [0, 0]);
      assert.ok(one.spent + other.spent > 0.96 * LIMIT, `${one.spent} + ${other.spent} of ${LIMIT}`);
    }
  });
}

/** Lets a replica spend steadily. */
function keepBusy(replicas: Replicas, replica: TestReplica, amount: number, everyMs: number, untilMs: number): void {
  const { time } = replicas;
  const next = () => {
    replica.store.reserve(demand([bucket(tokens)], time.nowMs, amount, noOutput), (decision) => {
      if (decision.type === 'granted') {
        replicas.settle(replica, decision.hold, amount);
      }
    });
    if (time.nowMs + everyMs < untilMs) {
      time.schedule(everyMs, next);
    }
  };
  next();
}

/** Returns the longest time until a replica has all that a busy one has unused. */
function worstGrantMs(fromMs: number, scale: number, isScarce: boolean): number {
  let worst = 0;
  for (let afterMs = fromMs; afterMs < fromMs + 300; afterMs += 7) {
    for (const [amount, everyMs] of [
      [10, 20],
      [50, 100],
      [130, 220],
    ] as const) {
      const replicas = new Replicas();
      const [busy, needy] = [replicas.add([tokens]), replicas.add([tokens])] as const;
      keepBusy(replicas, busy, amount * scale, everyMs, replicas.time.nowMs + afterMs);
      replicas.time.pass(afterMs);
      const { taken, limit } = replicas.totals(bucket(tokens).key)!;
      const { used } = busy.local.table.buckets.get(bucket(tokens).key)!.window;
      assert.equal(taken > 0.75 * limit, isScarce);
      const askedMs = replicas.time.nowMs;
      granted(replicas.decide(needy, demand([bucket(tokens)], askedMs, limit - used, noOutput)));
      worst = Math.max(worst, replicas.time.nowMs - askedMs);
    }
  }
  return worst;
}

test(`what is unused is granted within ${BOUND_MS} ms to a replica that needs it`, (t) => {
  const worst = worstGrantMs(1_300, 3, true);
  t.diagnostic(`at most ${worst} ms`);
  assert.ok(worst <= BOUND_MS);
});

test('more than a quarter of a limit is granted within a second to a replica that needs it', (t) => {
  const worst = worstGrantMs(1_000, 1, false);
  t.diagnostic(`at most ${worst} ms`);
  assert.ok(worst < 1_000);
});

test('a need that is met leaves the others warm', () => {
  const replicas = new Replicas();
  const [busy, needy] = [replicas.add([tokens]), replicas.add([tokens])] as const;
  keepBusy(replicas, busy, 10, 20, replicas.time.nowMs + 1_000);
  replicas.time.pass(1_000);
  const { hold } = granted(
    replicas.decide(needy, demand([bucket(tokens)], replicas.time.nowMs, LIMIT - 600, noOutput)),
  );
  replicas.settle(needy, hold, 0);
  keepBusy(replicas, busy, 10, 20, replicas.time.nowMs + 1_500);
  replicas.time.pass(1_500);
  const before = replicas.requests.length;
  for (let nth = 0; nth < 50; nth++) {
    const asked = replicas.ask(busy, demand([bucket(tokens)], replicas.time.nowMs, 10, noOutput));
    replicas.settle(busy, granted(asked.decision).hold, 10);
    replicas.time.pass(20);
  }
  const exchanges = replicas.requests.length - before;
  assert.ok(exchanges <= 6, `${exchanges} exchanges in a second`);
});
