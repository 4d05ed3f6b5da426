/** Overdrafts that are settled in a later window than the one in which their request began. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bucket, demand, granted, minute, noOutput, quota } from '../testing.ts';
import { Replicas, type TestReplica } from './testing/replicas.ts';

const MINUTE_MS = 60_000;
const tokens = quota('TotalTokens', 100, { window: minute });

class Minutes extends Replicas {
  readonly one = this.add([tokens]);
  readonly other = this.add([tokens]);

  reserve(replica: TestReplica, amount: number) {
    return this.decide(replica, demand([bucket(tokens)], this.time.nowMs, amount, noOutput));
  }

  spend(replica: TestReplica, amount: number): void {
    this.settle(replica, granted(this.reserve(replica, amount)).hold, amount);
    this.time.pass(1_500);
  }

  /** Lets time pass up to a second after the next minute has begun. */
  nextMinute(): void {
    this.time.pass(MINUTE_MS - (this.time.nowMs % MINUTE_MS) + 1_000);
  }

  /** Returns what the other replica can spend now, and spends it. */
  rest(): number {
    for (let amount = 100; amount > 0; amount--) {
      const decision = this.reserve(this.other, amount);
      if (decision.type === 'granted') {
        this.settle(this.other, decision.hold, amount);
        return amount;
      }
      this.time.pass(100);
    }
    return 0;
  }
}

test('an overdraft settled two windows later is paid back in those that have begun', () => {
  const minutes = new Minutes();
  const { hold } = granted(minutes.reserve(minutes.one, 20));
  minutes.nextMinute();
  minutes.spend(minutes.other, 70);
  minutes.nextMinute();
  minutes.spend(minutes.other, 10);
  minutes.settle(minutes.one, hold, 195);
  minutes.time.pass(1_500);
  // The first window owes 95, and the second had 30 left.
  assert.equal(minutes.rest(), 25);
});

test('an overdraft settled while no window is in use is paid back in the next one', () => {
  const minutes = new Minutes();
  const { hold } = granted(minutes.reserve(minutes.one, 20));
  minutes.nextMinute();
  minutes.nextMinute();
  minutes.settle(minutes.one, hold, 260);
  minutes.time.pass(1_500);
  // The first window owes 160, and the second paid 100 of it.
  assert.equal(minutes.rest(), 40);
});
