/**
 * Summarizes pairs of runs: medians of each side, ratios by pair, and whether a goal is reached.
 */
import type { Comparison, Goal, RunSample } from './results.ts';
import { median, type Ratio, ratioOf } from './statistics.ts';

export type Read = (sample: RunSample) => number;

export interface Both {
  readonly alone: number;
  readonly gateway: number;
  readonly ratio: Ratio;
}

/** One number of a comparison, on both sides. */
export function both({ pairs }: Comparison, read: Read): Both {
  return {
    alone: median(pairs.map(({ alone }) => read(alone))),
    gateway: median(pairs.map(({ gateway }) => read(gateway))),
    ratio: ratioOf(pairs.map(({ alone, gateway }) => [read(gateway), read(alone)])),
  };
}

/** Returns what Tallygate adds, by pair. */
export function added({ pairs }: Comparison, read: Read): number {
  return median(pairs.map(({ alone, gateway }) => read(gateway) - read(alone)));
}

/** A goal of the project for one number of one scenario. */
export interface ScenarioGoal {
  readonly scenario: string;
  readonly what: string;
  readonly unit: string;
  readonly value: (comparison: Comparison) => number;
  readonly goal: Goal;
}

const rate: Read = (sample) => sample.requestsPerSecond;
const processor: Read = (sample) => sample.processorUs ?? Number.NaN;
const together = '200 streams at 20 chunks per second, started together';

/** Returns the goal for a scenario and for its variant with the reference programs. */
function byBoth(goal: ScenarioGoal): readonly ScenarioGoal[] {
  return [goal, { ...goal, scenario: `reference programs: ${goal.scenario}` }];
}

const LARGE_PROMPTS = [
  'JSON, prompt of 60 KB, 8 connections',
  'JSON, prompt of 250 KB, 8 connections',
  'streams of 100 chunks, prompt of 250 KB, 8 connections',
  'JSON, prompt of 1 MB, 4 connections',
];

const largePromptGoals = LARGE_PROMPTS.flatMap((scenario) =>
  byBoth({
    scenario,
    what: 'requests per second, ratio to a processor that only returns the bytes',
    unit: '',
    value: (comparison) => both(comparison, rate).ratio.median / (emptyRate(comparison)?.median ?? Number.NaN),
    goal: { atLeast: 0.9 },
  }),
);

/** The last of them, after which memory is largest. */
const afterLargePrompts = {
  scenario: LARGE_PROMPTS.at(-1)!,
  what: 'resident memory of the processor',
  unit: 'MB',
  value: ({ pairs }: Comparison) =>
    Math.max(...pairs.map(({ gateway }) => (gateway.processorResidentBytes ?? Number.NaN) / 2 ** 20)),
  goal: { atMost: 170 },
};

export const SCENARIO_GOALS: readonly ScenarioGoal[] = [
  ...largePromptGoals,
  ...byBoth(afterLargePrompts),
  ...byBoth({
    scenario: 'JSON, 16 connections',
    what: 'requests per second, ratio to Envoy alone',
    unit: '',
    value: (comparison) => both(comparison, rate).ratio.median,
    goal: { atLeast: 0.42 },
  }),
  ...byBoth({
    scenario: 'streams of 100 chunks, 16 connections',
    what: 'streams per second, ratio to Envoy alone',
    unit: '',
    value: (comparison) => both(comparison, rate).ratio.median,
    goal: { atLeast: 0.6 },
  }),
  {
    scenario: 'JSON, 1 connection',
    what: 'median latency added',
    unit: 'ms',
    value: (comparison) => added(comparison, (sample) => sample.latencyMs.p50),
    goal: { atMost: 0.4 },
  },
  ...byBoth({
    scenario: together,
    what: 'processor time a chunk',
    unit: 'µs',
    value: (comparison) => both(comparison, processor).gateway,
    goal: { atMost: 45 },
  }),
  ...byBoth({
    scenario: together,
    what: 'delay of a chunk at p50, ratio to Envoy alone',
    unit: '',
    value: (comparison) => both(comparison, (sample) => sample.chunkDelayMs.p50).ratio.median,
    goal: { atMost: 3 },
  }),
  ...byBoth({
    scenario: together,
    what: 'delay of a chunk at p99, ratio to Envoy alone',
    unit: '',
    value: (comparison) => both(comparison, (sample) => sample.chunkDelayMs.p99).ratio.median,
    goal: { atMost: 2 },
  }),
];

export function reached(value: number, { atLeast = -Infinity, atMost = Infinity }: Goal): boolean {
  return value >= atLeast && value <= atMost;
}

/** Counts responses other than 200, on both sides. */
export function failuresOf({ pairs }: Comparison): Readonly<Record<string, number>> {
  const failures: Record<string, number> = {};
  for (const { alone, gateway } of pairs) {
    for (const [side, { outcomes }] of [['Envoy alone', alone] as const, ['Tallygate', gateway] as const]) {
      for (const [outcome, count] of Object.entries(outcomes)) {
        if (outcome === '200') {
          continue;
        }
        const name = `${side}: ${outcome}`;
        failures[name] = (failures[name] ?? 0) + count;
      }
    }
  }
  return failures;
}

/** Returns the ratio of the empty processor to Envoy alone, if it was measured. */
export function emptyRate({ pairs }: Comparison): Ratio | undefined {
  const measured = pairs.flatMap(({ alone, empty }) =>
    empty === undefined ? [] : [[empty.requestsPerSecond, alone.requestsPerSecond] as const],
  );
  return measured.length === 0 ? undefined : ratioOf(measured);
}

export function ofEmpty({ pairs }: Comparison, read: Read): number {
  return median(pairs.flatMap(({ empty }) => (empty === undefined ? [] : [read(empty)])));
}
