/**
 * Loaded into the processor by `--import=PATH?folder=FOLDER`. Writes a line for each time that the
 * event loop was blocked and for each pause of garbage collection, so that both can be told apart
 * from time that other programs had the processor (`holds.ts`).
 */
import { appendFileSync, openSync, readSync } from 'node:fs';
import path from 'node:path';
import { PerformanceObserver } from 'node:perf_hooks';
import type { Entry } from './holds.ts';

const TICK_MS = 1;
/** Shorter ones are no news: the processor yields after 2 ms of work. */
const TOLD_MS = 3;
const WRITE_MS = 100;

const folder = new URL(import.meta.url).searchParams.get('folder');
if (folder !== null && process.argv[2] === 'extproc') {
  watch(path.join(folder, `${process.pid}.jsonl`));
}

function watch(file: string): void {
  let entries: Entry[] = [];
  const tell = (entry: Entry) => {
    if (entry.toMs - entry.fromMs > TOLD_MS) {
      entries.push(entry);
    }
  };
  let lastMs = performance.now();
  let lastCpuMs = cpuMs();
  const waitedMs = waits();
  let lastWaitedMs = waitedMs();
  setInterval(() => {
    const nowMs = performance.now();
    const nowCpuMs = cpuMs();
    const nowWaitedMs = waitedMs();
    tell({
      type: 'held',
      fromMs: lastMs + TICK_MS,
      toMs: nowMs,
      cpuMs: nowCpuMs - lastCpuMs,
      waitedMs: nowWaitedMs - lastWaitedMs,
    });
    lastMs = nowMs;
    lastCpuMs = nowCpuMs;
    lastWaitedMs = nowWaitedMs;
  }, TICK_MS).unref();
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) {
      entries.push({ type: 'gc', fromMs: startTime, toMs: startTime + duration });
    }
  }).observe({ entryTypes: ['gc'] });
  setInterval(() => {
    if (entries.length === 0) {
      return;
    }
    appendFileSync(file, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
    entries = [];
  }, WRITE_MS).unref();
}

/**
 * How long the event loop's thread was ready to run and other programs had the processor. Linux
 * knows this to the nanosecond, but a thread's own CPU time only at its clock ticks, 4 ms apart.
 */
function waits(): () => number {
  const file = openSync('/proc/thread-self/schedstat', 'r');
  const text = Buffer.alloc(64);
  return () => {
    const [, nanoseconds] = text.toString('latin1', 0, readSync(file, text, 0, text.length, 0)).split(' ');
    return Number(nanoseconds) / 1e6;
  };
}

/** CPU time of the event loop's thread. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
