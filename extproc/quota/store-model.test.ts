import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import type { Quota } from '../../contract/policy.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import type { MemoryStore } from './memory.ts';
import { openQuotaStore } from './open.ts';
import type { BucketRef, Hold, OutputDemand } from './store.ts';
import { bucket, define, demand, lifetime, minute, quota, SimulatedTime, settle, slidingMinute } from './testing.ts';

const folder = mkdtempSync(join(tmpdir(), 'store-model-'));
after(() => rmSync(folder, { recursive: true }));
let runs = 0;

/** A request as the model sees it. */
interface Request {
  readonly admittedMs: number;
  readonly buckets: readonly BucketRef[];
  inputTokens: number;
  readonly countedTokens: number;
  hold: Hold | undefined;
  outputTokens: number;
  usedTokens: number;
  charged: { readonly atMs: number; readonly inputTokens: number; readonly outputTokens: number } | undefined;
}

/** A slow model of the quota store: sums up all requests for every query. */
class Model {
  readonly requests: Request[] = [];

  drawn({ quota: { limit, window } }: BucketRef, request: Request, nowMs: number): { spent: number; held: number } {
    const { charged } = request;
    const touchedMs = limit.type === 'Requests' ? request.admittedMs : (charged?.atMs ?? nowMs);
    const isIn =
      window.type === 'Lifetime' ||
      (window.type === 'Sliding'
        ? touchedMs > nowMs - window.durationMs
        : Math.floor(request.admittedMs / 60_000) === Math.floor(nowMs / 60_000));
    if (!isIn) {
      return { spent: 0, held: 0 };
    }
    if (limit.type === 'Requests') {
      return { spent: 1, held: 0 };
    }
    const { inputTokens, outputTokens } = charged ?? request;
    const tokens =
      (limit.type === 'OutputTokens' ? 0 : inputTokens) + (limit.type === 'InputTokens' ? 0 : outputTokens);
    return charged === undefined ? { spent: 0, held: tokens } : { spent: tokens, held: 0 };
  }

  sums(ref: BucketRef, nowMs: number): { readonly spent: number; readonly held: number } {
    let spent = 0;
    let held = 0;
    for (const request of this.requests) {
      if (request.hold !== undefined && request.buckets.some(({ key }) => key === ref.key)) {
        const drawn = this.drawn(ref, request, nowMs);
        spent += drawn.spent;
        held += drawn.held;
      }
    }
    return { spent, held };
  }
}

class World {
  readonly time = new SimulatedTime();
  readonly model = new Model();
  readonly #path: string | undefined;
  readonly refs: readonly BucketRef[];
  readonly overdrafts = new Map<string, number>();
  store: MemoryStore;

  /** Opens a journal only for runs with a restart. */
  constructor(quotas: readonly Quota[], isJournaled: boolean) {
    this.#path = isJournaled ? join(folder, `${++runs}.sqlite`) : undefined;
    this.refs = ['a', 'b'].flatMap((team) => quotas.map((of) => bucket(of, team)));
    this.store = this.open();
  }

  open(): MemoryStore {
    const { schedule } = this.time;
    const options = { foldEveryMs: 0, nowMs: () => this.time.nowMs, schedule } as const;
    return openQuotaStore(this.#path === undefined ? options : { ...options, path: this.#path }).store;
  }

  get openRequests(): readonly Request[] {
    return this.model.requests.filter(({ hold, charged }) => hold !== undefined && charged === undefined);
  }

  reserve(buckets: readonly BucketRef[], inputTokens: number, output: OutputDemand): void {
    this.store.reserve(demand(buckets, this.time.nowMs, inputTokens, output), (decision) => {
      if (decision.type === 'granted') {
        const { hold, outputTokens } = decision;
        const admittedMs = this.time.nowMs;
        const request: Request = {
          admittedMs,
          buckets,
          inputTokens,
          countedTokens: Math.ceil(inputTokens / 3),
          hold,
          outputTokens,
          usedTokens: 0,
          charged: undefined,
        };
        this.model.requests.push(request);
        if (output.mode === 'lease') {
          hold.holder = {
            unused: (kept) => Math.max(0, request.outputTokens - Math.max(kept, request.usedTokens)),
            giveBack: (tokens) => {
              request.outputTokens -= tokens;
              assert(request.usedTokens <= request.outputTokens, 'used tokens are never taken back');
            },
            countedInput: () => {
              request.inputTokens = Math.min(request.inputTokens, request.countedTokens);
              return request.countedTokens;
            },
          };
        }
        assert(outputTokens >= (output.mode === 'none' ? 0 : output.least) && outputTokens <= output.want);
        this.checkPromise(buckets, admittedMs);
      }
    });
  }

  extend(request: Request, output: OutputDemand): void {
    if (request.hold === undefined) {
      return;
    }
    const possible = Math.min(...request.buckets.map((ref) => this.#possible(ref, request)));
    let answers = 0;
    this.store.extend(request.hold, output, this.time.nowMs, (tokens) => {
      answers++;
      request.outputTokens += tokens;
      assert(tokens >= output.least || possible < output.least, `granted ${tokens} where ${possible} can be had`);
      if (tokens > 0) {
        this.checkPromise(request.buckets, request.admittedMs);
      }
    });
    assert.equal(answers, 1, 'an open stream never waits');
  }

  use(request: Request, share: number): void {
    request.usedTokens = Math.max(request.usedTokens, Math.floor(request.outputTokens * share));
  }

  /**
   * Output that an open request can have of a bucket: what is free, and what other streams do not
   * use.
   */
  #possible(ref: BucketRef, request: Request): number {
    if (ref.quota.limit.type === 'InputTokens' || ref.quota.limit.type === 'Requests') {
      return Number.POSITIVE_INFINITY;
    }
    const { spent, held } = this.model.sums(ref, request.admittedMs);
    const others = this.openRequests.filter(
      (other) =>
        other !== request &&
        other.hold?.holder !== undefined &&
        other.buckets.some(({ key }) => key === ref.key) &&
        this.model.drawn(ref, other, request.admittedMs).held > 0,
    );
    const unused = others.reduce((sum, other) => sum + other.outputTokens - other.usedTokens, 0);
    return ref.quota.limit.amount - spent - held + unused;
  }

  settle(request: Request, inputTokens: number, outputTokens: number): void {
    if (request.hold === undefined) {
      return;
    }
    request.charged = { atMs: this.time.nowMs, inputTokens, outputTokens };
    const charge = { inputTokens, outputTokens, cause: 'in_flight' } as const;
    for (const { bucket: ref, amount } of settle(this.store, request.hold, charge, this.time.nowMs)) {
      this.overdrafts.set(ref.key, (this.overdrafts.get(ref.key) ?? 0) + amount);
    }
  }

  /** Restarts the process: open holds are charged in full. */
  restart(): void {
    this.store.close();
    for (const request of this.openRequests) {
      request.charged = { ...request, atMs: this.time.nowMs };
    }
    this.store = this.open();
  }

  /** Checks spent + held ≤ limit, in the window of the request or in the current one. */
  checkPromise(buckets: readonly BucketRef[], admittedMs: number): void {
    for (const ref of buckets) {
      const atMs = ref.quota.window.type === 'Calendar' ? admittedMs : this.time.nowMs;
      const { spent, held } = this.model.sums(ref, atMs);
      assert(spent + held <= ref.quota.limit.amount, `${ref.key}: ${spent} + ${held}`);
    }
  }

  checkSnapshots(): void {
    for (const [nth, snapshot] of this.store.snapshot(this.refs, this.time.nowMs).entries()) {
      const ref = this.refs[nth]!;
      const { spent, held } = this.model.sums(ref, this.time.nowMs);
      const remaining = Math.max(0, ref.quota.limit.amount - spent - held);
      if (ref.quota.window.type === 'Sliding') {
        assert(snapshot.remaining <= remaining, `${ref.key}: ${snapshot.remaining} of ${remaining}`);
      } else {
        assert.equal(snapshot.remaining, remaining, ref.key);
      }
    }
  }
}

type Step =
  | {
      readonly type: 'reserve';
      readonly team: number;
      readonly quotas: number;
      readonly input: number;
      readonly output: OutputDemand;
    }
  | { readonly type: 'extend'; readonly nth: number; readonly output: OutputDemand }
  | { readonly type: 'use'; readonly nth: number; readonly share: number }
  | { readonly type: 'settle'; readonly nth: number; readonly input: number; readonly output: number }
  | { readonly type: 'pass'; readonly ms: number }
  | { readonly type: 'restart' }
  /** A policy with only these quotas comes into force; earlier requests continue. */
  | { readonly type: 'define'; readonly quotas: number };

const output: fc.Arbitrary<OutputDemand> = fc
  .record({
    mode: fc.constantFrom('lease', 'bound', 'none'),
    least: fc.integer({ min: 1, max: 10 }),
    more: fc.nat(80),
    usual: fc.nat(40),
  })
  .map(({ mode, least, more, usual }) =>
    mode === 'none'
      ? { mode, want: 0, least: 0 }
      : { mode, least, want: least + more, usual: least + Math.min(more, usual) },
  );

const share = fc.double({ min: 0, max: 1, noNaN: true });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      type: fc.constant('reserve'),
      team: fc.nat(1),
      quotas: fc.integer({ min: 1, max: 15 }),
      input: fc.nat(60),
      output,
    }),
  },
  { weight: 16, arbitrary: fc.record({ type: fc.constant('extend'), nth: fc.nat(20), output }) },
  { weight: 10, arbitrary: fc.record({ type: fc.constant('use'), nth: fc.nat(20), share }) },
  { weight: 14, arbitrary: fc.record({ type: fc.constant('settle'), nth: fc.nat(20), input: share, output: share }) },
  { weight: 8, arbitrary: fc.record({ type: fc.constant('pass'), ms: fc.oneof(fc.nat(5_000), fc.nat(90_000)) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('restart') }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('define'), quotas: fc.nat(15) }) },
);

const isRestart = ({ type }: Step) => type === 'restart';

const quotas = (queueTimeoutMs: number): readonly Quota[] => [
  quota('TotalTokens', 900, { window: lifetime, queueTimeoutMs }),
  quota('OutputTokens', 200, { window: minute, queueTimeoutMs }),
  quota('InputTokens', 150, { window: slidingMinute, queueTimeoutMs }),
  quota('Requests', 8, { window: minute, queueTimeoutMs }),
];

/** `scale`: the largest charge relative to what is held. */
function run(world: World, steps: readonly Step[], scale: number, afterEach: () => void): void {
  for (const taken of steps) {
    const { openRequests } = world;
    switch (taken.type) {
      case 'reserve': {
        const buckets = world.refs
          .slice(taken.team * 4, taken.team * 4 + 4)
          .filter((_, nth) => taken.quotas & (1 << nth));
        world.reserve(buckets, taken.input, taken.output);
        break;
      }
      case 'extend': {
        const request = openRequests[taken.nth % Math.max(1, openRequests.length)];
        if (request !== undefined && taken.output.mode !== 'none') {
          world.extend(request, taken.output);
        }
        break;
      }
      case 'use': {
        const request = openRequests[taken.nth % Math.max(1, openRequests.length)];
        if (request !== undefined) {
          world.use(request, taken.share);
        }
        break;
      }
      case 'settle': {
        const request = openRequests[taken.nth % Math.max(1, openRequests.length)];
        if (request !== undefined) {
          const tokens = (held: number, of: number) => Math.floor(held * of * scale);
          world.settle(request, tokens(request.inputTokens, taken.input), tokens(request.outputTokens, taken.output));
        }
        break;
      }
      case 'pass':
        world.time.pass(taken.ms);
        break;
      case 'restart':
        world.restart();
        break;
      case 'define': {
        const named = world.refs.slice(0, 4).filter((_, nth) => taken.quotas & (1 << nth));
        define(
          world.store,
          named.map((ref) => ref.quota),
          world.time.nowMs,
        );
        break;
      }
    }
    world.store.flush();
    afterEach();
  }
}

test('spent + held ≤ limit at each grant, and the sums equal those of the model, over restarts', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: 'max' }), fc.constantFrom(0, 3_000), (steps, queueTimeoutMs) => {
      const world = new World(quotas(queueTimeoutMs), steps.some(isRestart));
      run(world, steps, 1, () => world.checkSnapshots());
      assert.equal(world.overdrafts.size, 0);
      for (const request of world.openRequests) {
        world.settle(request, request.inputTokens, request.outputTokens);
      }
      world.checkSnapshots();
      world.store.close();
    }),
    fuzzRuns(80),
  );
});

test('input that was counted for an extension without success is charged by its count after a restart', () => {
  const world = new World([quota('TotalTokens', 300, { window: lifetime })], true);
  const [ref] = world.refs;
  world.reserve([ref!], 0, { mode: 'bound', least: 100, want: 100 });
  world.reserve([ref!], 19, { mode: 'lease', least: 1, want: 1 });
  world.store.flush();
  world.settle(world.openRequests[0]!, 0, 300);
  world.extend(world.openRequests[0]!, { mode: 'lease', least: 1, want: 1 });
  world.store.flush();
  world.restart();
  // 7 of the 19 tokens are counted.
  assert.equal(world.store.top(1, world.time.nowMs)[0]?.spent, 308);
  world.store.close();
});

test('all charges are spent, also past the limit, and overdrafts are reported', () => {
  const forever = ['TotalTokens', 'OutputTokens', 'InputTokens', 'Requests'] as const;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const world = new World(
        forever.map((type) => quota(type, type === 'Requests' ? 30 : 300, { window: lifetime })),
        steps.some(isRestart),
      );
      run(world, steps, 3, () => {
        const states = new Map(world.store.top(100, world.time.nowMs).map((state) => [state.bucket.key, state]));
        for (const ref of world.refs) {
          const { spent, held } = world.model.sums(ref, world.time.nowMs);
          const state = states.get(ref.key) ?? { spent: 0, held: 0, overdraft: 0 };
          assert.deepEqual([state.spent, state.held], [spent, held]);
        }
      });
      const restarted = steps.some(isRestart);
      for (const state of world.store.top(100, world.time.nowMs)) {
        const told = world.overdrafts.get(state.bucket.key) ?? 0;
        assert(restarted ? told <= state.overdraft : told === state.overdraft);
      }
      world.store.close();
    }),
    fuzzRuns(80),
  );
});
