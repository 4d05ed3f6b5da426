/** Measures how long the event loop was held, and how much of that was garbage collection. */
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import { type Meter, ValueType } from '@opentelemetry/api';

const RESOLUTION_MS = 10;

export interface LoopDelay {
  /** Returns the values since the last call with `reset`. */
  read(reset: boolean): LoopDelayReading;
  close(): void;
}

export interface LoopDelayReading {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly gcMaxMs: number;
  readonly gcTotalMs: number;
}

export function watchLoopDelay(): LoopDelay {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  let gcMaxMs = 0;
  let gcTotalMs = 0;
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      gcMaxMs = Math.max(gcMaxMs, entry.duration);
      gcTotalMs += entry.duration;
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  // The histogram contains the time between two ticks of its timer: the time above the resolution
  // is delay.
  const delayMs = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
  return {
    read(reset) {
      const some = histogram.count > 0;
      const reading: LoopDelayReading = {
        p50Ms: some ? delayMs(histogram.percentile(50)) : 0,
        p99Ms: some ? delayMs(histogram.percentile(99)) : 0,
        maxMs: some ? delayMs(histogram.max) : 0,
        gcMaxMs,
        gcTotalMs,
      };
      if (reset) {
        histogram.reset();
        gcMaxMs = 0;
        gcTotalMs = 0;
      }
      return reading;
    },
    close() {
      histogram.disable();
      observer.disconnect();
    },
  };
}

/** Adds gauges of the process. Each read covers the time since the previous one. */
export function observeProcess(meter: Meter, loopDelay: LoopDelay): void {
  const gauge = (name: string, unit: string, description: string) =>
    meter.createObservableGauge(name, { unit, description, valueType: ValueType.DOUBLE });
  const delay = gauge('nodejs.eventloop.delay', 's', 'How long the event loop was held, by statistic');
  const gc = gauge('nodejs.gc.pause', 's', 'Pauses of garbage collection since the last reading, by statistic');
  const memory = gauge('process.memory.usage', 'By', 'Resident memory');
  meter.addBatchObservableCallback(
    (result) => {
      const reading = loopDelay.read(true);
      result.observe(delay, reading.p50Ms / 1000, { statistic: 'p50' });
      result.observe(delay, reading.p99Ms / 1000, { statistic: 'p99' });
      result.observe(delay, reading.maxMs / 1000, { statistic: 'max' });
      result.observe(gc, reading.gcMaxMs / 1000, { statistic: 'max' });
      result.observe(gc, reading.gcTotalMs / 1000, { statistic: 'total' });
      result.observe(memory, process.memoryUsage.rss());
    },
    [delay, gc, memory],
  );
}
