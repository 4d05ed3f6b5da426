/** The content of a results file. */
import type { Percentiles } from './load.ts';
import type { Options } from './options.ts';

export interface Results {
  readonly startedAt: string;
  readonly machine: Machine;
  readonly options: Options;
  readonly comparisons: readonly Comparison[];
  readonly figures: readonly Figure[];
  readonly counts: readonly CountRow[];
}

export interface Machine {
  readonly commit: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly kernel: string;
  readonly node: string;
  readonly envoy: string;
  readonly envoyWorkers: number;
  /** Load average of the last minute, other programs included. */
  readonly loadAverage: number;
}

/** A scenario, run on both sides in turn. */
export interface Comparison {
  readonly name: string;
  readonly kind: 'load' | 'paced';
  /** The unit of `processorUs` and `envoyUs`. */
  readonly per: 'request' | 'chunk';
  readonly pairs: readonly Pair[];
}

export interface Pair {
  readonly alone: RunSample;
  readonly gateway: RunSample;
  /** A processor that only returns the bytes, where it was measured. */
  readonly empty?: RunSample;
}

export interface RunSample {
  readonly requestsPerSecond: number;
  readonly latencyMs: Percentiles;
  readonly firstByteMs: Percentiles;
  readonly chunkDelayMs: Percentiles;
  /** Processor time per request or chunk. */
  readonly envoyUs: number;
  readonly providerUs: number;
  /** Figures of extproc; absent for Envoy alone. */
  readonly processorUs?: number;
  readonly processorResidentBytes?: number;
  readonly loop?: LoopReading;
  readonly outcomes: Readonly<Record<string, number>>;
}

/** The worst of one run, from the processor's own metrics. */
export interface LoopReading {
  readonly delayMaxMs: number;
  readonly delayP99Ms: number;
  readonly gcMaxMs: number;
}

/** A single number with its goal. */
export interface Figure {
  readonly part: string;
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly goal?: Goal;
}

export interface Goal {
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface CountRow {
  readonly recording: string;
  readonly kind: 'input' | 'output';
  /** The provider's number without hidden reasoning, and the estimate from the visible text. */
  readonly provider: number;
  readonly estimate: number;
  readonly hidden: number;
  /** Who counted, according to the access line. */
  readonly note: string;
}
