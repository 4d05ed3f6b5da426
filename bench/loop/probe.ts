/**
 * Loaded into the processor by `--import=PATH?folder=FOLDER`. Writes a line for each time that the
 * event loop was blocked and for each pause of garbage collection, so that both can be told apart
 * from time that other programs had the processor (`holds.ts`).
 */
import { appendFileSync } from 'node:fs';
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
  setInterval(() => {
    const nowMs = performance.now();
    const nowCpuMs = cpuMs();
    tell({ type: 'held', fromMs: lastMs + TICK_MS, toMs: nowMs, cpuMs: nowCpuMs - lastCpuMs });
    lastMs = nowMs;
    lastCpuMs = nowCpuMs;
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

/** CPU time of the event loop's thread. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
