/**
 * Replays recorded requests against the quotas of a policy, with the store of the data plane and
 * the time of the records. Each request is decided and charged at its recorded end, one after the
 * other, because records have no start.
 */
import type { GatewayPolicy, Quota } from '../../contract/policy.ts';
import { MemoryStore } from '../../extproc/quota/memory.ts';
import { memoryDefaults } from '../../extproc/quota/memory-options.ts';
import type { Decision, Demand } from '../../extproc/quota/store.ts';
import { unitOf } from '../../extproc/quota/units.ts';
import { MAX_TEXT_CHARACTERS } from '../../extproc/quota/usage-record.ts';
import type { RecordedRequest } from '../../extproc/quota/usage-records.ts';
import { Calendar } from '../../extproc/quota/window.ts';
import { selectedQuotas } from '../../extproc/quota-conditions.ts';
import type { Usage } from '../../extproc/usage.ts';
import {
  type SimulatedKey,
  SimulationFindings,
  type SimulationGap,
  SimulationGaps,
  type Unserved,
} from './findings.ts';
import { type RecordedDraw, recordedDraw, whyNotSimulated } from './recorded-draws.ts';
import { RouteQuotas } from './route-quotas.ts';

export interface SimulationResult {
  /** Of all records, also those that could not be replayed. */
  readonly requests: number;
  /** The times of the first and the last record; absent: there are none. */
  readonly first?: string;
  readonly last?: string;
  /** Requests that at least one quota refused, without `Shadow` quotas. */
  readonly refused: number;
  readonly cut: number;
  /** The quotas that were simulated, with the requests that they counted or refused. */
  readonly quotas: readonly { readonly quota: string; readonly requests: number }[];
  readonly keys: readonly SimulatedKey[];
  readonly notSimulated: readonly SimulationGap[];
  readonly inexact: readonly SimulationGap[];
}

const DAY_MS = 24 * 3_600_000;
/** Single requests are kept for a shorter time. */
const MAX_EARLIER_MS = 92 * DAY_MS;
/** A request of the day before a window shows that the records cover its start. */
const COVERING_MS = DAY_MS;

type Drawn = Extract<RecordedDraw, { readonly type: 'draws' }>;
type Granted = Extract<Decision, { readonly type: 'granted' }>;

const noUsage: Usage = {
  input: 0,
  output: 0,
  cachedInput: 0,
  cacheWriteInput: 0,
  cacheWrite1hInput: 0,
  reasoningOutput: 0,
  audioInput: 0,
  audioOutput: 0,
  imageInput: 0,
  imageOutput: 0,
};

export class Replay {
  readonly #routes: RouteQuotas;
  readonly #store: MemoryStore;
  readonly #sinceMs: number;
  /** The quotas that are simulated, with the requests that they counted or refused. */
  readonly #counted = new Map<Quota, number>();
  /** When the windows that contain the start of the simulation began. */
  readonly #windowStarts = new Map<Quota, number>();
  readonly #never: readonly SimulationGap[];
  #findings = new SimulationFindings();
  #skipped = new SimulationGaps();
  #inexact = new SimulationGaps();
  #replayed = 0;
  /** The first record, also before the start of the simulation. */
  #recordedMs: number | undefined;
  #requests = 0;
  #refused = 0;
  #cut = 0;
  #firstMs: number | undefined;
  #nowMs = 0;

  /** Reports what happens from `sinceMs` on. */
  constructor(policy: GatewayPolicy, sinceMs: number) {
    this.#sinceMs = sinceMs;
    this.#routes = new RouteQuotas(policy);
    const never: SimulationGap[] = [];
    for (const quota of policy.quotas) {
      const reason = whyNotSimulated(quota);
      if (reason === undefined) {
        this.#counted.set(quota, 0);
        this.#windowStarts.set(quota, windowStart(quota, sinceMs));
      } else {
        never.push({ quota: quota.id, reason });
      }
    }
    this.#never = never;
    // Every hold is settled before the next request, so nothing waits and no timer is needed.
    const schedule = () => {
      throw new Error('invariant: a replayed request waits');
    };
    this.#store = new MemoryStore({ ...memoryDefaults, nowMs: () => this.#nowMs, schedule }, undefined);
  }

  /** From when on requests are needed: the windows had spent something before the simulation. */
  get beginMs(): number {
    const firstMs = Math.min(this.#sinceMs, ...this.#windowStarts.values());
    return Math.max(0, this.#sinceMs - MAX_EARLIER_MS, firstMs - COVERING_MS);
  }

  /** Replays a request. Requests come in the order of their records, those from `beginMs` on. */
  add(request: RecordedRequest): void {
    // The clock of the gateway may have been set back.
    this.#nowMs = Math.max(this.#nowMs, request.timeMs);
    if (this.#recordedMs === undefined) {
      this.#recordedMs = request.timeMs;
      this.#store.define([...this.#counted.keys()], { epoch: 1, counter: 1 }, this.#nowMs);
    }
    if (this.#firstMs === undefined && this.#nowMs >= this.#sinceMs) {
      this.#firstMs = this.#nowMs;
      this.#forgetEarlier();
    }
    this.#replayed++;
    this.#requests++;
    const { tenant, user, apiKey, model, route, backend } = request;
    if (
      [tenant, user, apiKey, model, route, backend].some((text) => text !== null && text.length > MAX_TEXT_CHARACTERS)
    ) {
      this.#skipped.add(undefined, `a name is longer than ${MAX_TEXT_CHARACTERS} characters and recorded shortened`);
      return;
    }
    const routed = this.#routes.find(request);
    if (routed === undefined) {
      this.#skipped.add(undefined, `the files have no rule of route ${route} for the model`);
      return;
    }
    const isSimulated = (quota: Quota) => this.#counted.has(quota);
    for (const quota of this.#selected(routed.uncertain.filter(isSimulated), request)) {
      this.#skipped.add(quota, 'rules of one route differ in it, and records do not name the rule');
    }
    const drawn: Drawn[] = [];
    for (const quota of this.#selected(routed.quotas.filter(isSimulated), request)) {
      const draw = recordedDraw(quota, request, routed);
      if (draw.type === 'refused') {
        this.#count(quota);
        this.#refused++;
        this.#findings.refused(draw.bucket, draw.reason, request, unserved(request, refusedUnits(quota, request)));
        return;
      }
      if (draw.type === 'unknown') {
        this.#skipped.add(quota, draw.reason);
      } else if (draw.type === 'draws') {
        drawn.push(draw);
      }
    }
    if (drawn.length > 0) {
      this.#decide(request, drawn);
    }
  }

  result(): SimulationResult {
    if (this.#firstMs === undefined) {
      this.#forgetEarlier();
    }
    return {
      requests: this.#requests,
      ...(this.#firstMs !== undefined && { first: timeText(this.#firstMs), last: timeText(this.#nowMs) }),
      refused: this.#refused,
      cut: this.#cut,
      quotas: [...this.#counted].map(([{ id }, requests]) => ({ quota: id, requests })),
      keys: this.#findings.keys(),
      notSimulated: [...this.#never, ...this.#skipped.list()],
      inexact: [...this.#inexact.list(), ...this.#unknownStarts()],
    };
  }

  /** What earlier requests spent stays; what happened to them is not shown. */
  #forgetEarlier(): void {
    this.#findings = new SimulationFindings();
    this.#skipped = new SimulationGaps();
    this.#inexact = new SimulationGaps();
    this.#requests = 0;
    this.#refused = 0;
    this.#cut = 0;
    for (const quota of this.#counted.keys()) {
      this.#counted.set(quota, 0);
    }
  }

  #unknownStarts(): readonly SimulationGap[] {
    const recordedMs = this.#recordedMs ?? this.#sinceMs;
    return [...this.#windowStarts]
      .filter(([, startMs]) => startMs < recordedMs)
      .map(([{ id }]) => ({
        quota: id,
        reason: `its window began earlier than the records, at ${timeText(recordedMs)}: what it had spent by then does not count`,
      }));
  }

  #selected(quotas: readonly Quota[], { model, tenant, user }: RecordedRequest): readonly Quota[] {
    return selectedQuotas(quotas, () => ({
      request: { model: model ?? undefined, endpoint: undefined, stream: false, maxOutputTokens: undefined },
      caller: { tenant: tenant ?? undefined, user: user ?? undefined, groups: [] },
    }));
  }

  #decide(request: RecordedRequest, drawn: readonly Drawn[]): void {
    const usage = request.usage ?? noUsage;
    for (const { draw, inexact } of drawn) {
      this.#count(draw.bucket.quota);
      for (const reason of inexact) {
        this.#inexact.add(draw.bucket.quota, reason);
      }
    }
    const decision = this.#reserve({
      id: String(this.#replayed),
      atMs: this.#nowMs,
      draws: drawn.map(({ draw }) => draw),
      inputTokens: usage.input,
      inputCounted: true,
      output: { mode: usage.output > 0 ? 'bound' : 'none', want: usage.output, least: Math.min(1, usage.output) },
    });
    if (decision.type === 'refused') {
      this.#refused++;
      const { bucket, reason } = decision;
      this.#findings.refused(bucket, reason, request, unserved(request, amountAt(drawn, bucket.key, usage)));
    } else if (decision.type === 'granted') {
      this.#charge(request, drawn, usage, decision);
    }
  }

  #charge(request: RecordedRequest, drawn: readonly Drawn[], usage: Usage, granted: Granted): void {
    const { hold, outputTokens, shadowRefused = [] } = granted;
    const served = usage.output > outputTokens ? shortened(usage, outputTokens) : usage;
    const amounts = drawn.map(({ amountOf }) => amountOf(served));
    this.#store.settle(hold, { amounts, cause: 'in_flight' }, this.#nowMs, () => {});
    for (const { draw, amountOf } of drawn.filter(({ draw }) => shadowRefused.includes(draw.bucket.quota.id))) {
      this.#findings.refused(draw.bucket, 'spent or size', request, unserved(request, amountOf(usage)));
    }
    if (served !== usage) {
      this.#cut++;
      const { draw, amountOf } = tightest(drawn, granted);
      const amount = Math.max(0, amountOf(usage) - amountOf(served));
      this.#findings.cut(draw.bucket, request, { amount, inputTokens: 0, outputTokens: usage.output - served.output });
    }
  }

  #reserve(demand: Demand): Decision {
    let decision: Decision | undefined;
    this.#store.reserve(demand, (answer) => {
      decision = answer;
    });
    if (decision === undefined || decision.type === 'count-first') {
      throw new Error('invariant: a replayed request is not decided at once');
    }
    return decision;
  }

  #count(quota: Quota): void {
    this.#counted.set(quota, (this.#counted.get(quota) ?? 0) + 1);
  }
}

/** Returns when the window that contains an instant began. */
function windowStart({ window }: Quota, atMs: number): number {
  switch (window.type) {
    case 'Calendar':
      return new Calendar(window.unit, window.timeZone).at(atMs).startMs;
    case 'Sliding':
      return atMs - window.durationMs;
    case 'Lifetime':
      return 0;
    case 'None':
      return atMs;
  }
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}

/** Returns what a quota counts of a request that it refuses for what it is. */
function refusedUnits(quota: Quota, { usage }: RecordedRequest): number {
  return unitOf(quota).amount(quota.limit, usage ?? noUsage, undefined);
}

function unserved({ usage }: RecordedRequest, amount: number): Unserved {
  return { amount, inputTokens: usage?.input ?? 0, outputTokens: usage?.output ?? 0 };
}

function amountAt(drawn: readonly Drawn[], key: string, usage: Usage): number {
  return drawn.find(({ draw }) => draw.bucket.key === key)?.amountOf(usage) ?? 0;
}

/** Returns the usage of a response that ends after so many tokens of output. */
function shortened(usage: Usage, output: number): Usage {
  const { reasoningOutput, audioOutput } = usage;
  return {
    ...usage,
    output,
    reasoningOutput: Math.min(reasoningOutput, output),
    audioOutput: Math.min(audioOutput, output),
  };
}

/** Returns the draw whose bucket has the least output left. */
function tightest(drawn: readonly Drawn[], { snapshots }: Granted): Drawn {
  const left = ({ draw }: Drawn) => {
    const remaining = snapshots.find(({ bucket }) => bucket.key === draw.bucket.key)?.remaining ?? 0;
    const limits = draw.perOutputToken > 0 && draw.bucket.quota.mode === 'Enforce';
    return limits ? remaining / draw.perOutputToken : Number.POSITIVE_INFINITY;
  };
  return drawn.reduce((one, other) => (left(other) < left(one) ? other : one));
}
