/**
 * Runs all hostile behaviours at once beside well-behaved clients. HOSTILE_SECONDS and
 * HOSTILE_CLIENTS make the run long (`make soak`), HOSTILE_SEED repeats a run, HOSTILE_ACTS
 * (comma-separated names) limits the behaviours, and HOSTILE_REPORT names a file for the figures.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { reportPage } from './support/hostile/report.ts';
import { type MixWorld, runMix, startMix } from './support/hostile/run.ts';

const MEMORY_BYTES = 400 * 1024 * 1024;
const HELD_MS = 10;

const number = (name: string, otherwise: number) => Number(process.env[name] ?? otherwise);
const seconds = number('HOSTILE_SECONDS', 8);
const hostile = number('HOSTILE_CLIENTS', 300);
const behaved = number('HOSTILE_BEHAVED', 50);
const seed = number('HOSTILE_SEED', 20_261_127);
const acts = process.env['HOSTILE_ACTS']?.split(',');
const report = process.env['HOSTILE_REPORT'];

let world: MixWorld;
let folder: string;
before(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'tallygate-loop-'));
  world = await startMix(seed, folder);
});
after(async () => {
  await world?.stop();
  if (folder) {
    rmSync(folder, { recursive: true, force: true });
  }
});

it(`${hostile} hostile connections do not harm ${behaved} well-behaved clients for ${seconds} s`, async (context) => {
  const progress = (line: string) => console.error(line);
  const result = await runMix(world, { seconds, hostile, behaved, seed, progress, ...(acts && { acts }) });
  context.diagnostic(JSON.stringify(result));
  if (report !== undefined) {
    writeFileSync(report, reportPage(result, { hostile, behaved }));
  }
  assert.ok(result.survived, `extproc did not survive: HOSTILE_SEED=${seed}`);
  assert.deepEqual(result.hostile.faults, []);
  assert.deepEqual(
    result.behavedFailures.slice(0, 5),
    [],
    `${result.behavedFailures.length} of ${result.behavedRequests}`,
  );
  assert.ok(result.behavedRequests > seconds * 10, `only ${result.behavedRequests} requests of clients that behave`);
  assert.equal(result.held, 0, 'tokens are held by nobody');
  assert.equal(result.hostile.openUpstream, 0);
  assert.deepEqual(result.faults, []);
  assert.deepEqual(result.uncharged, {}, 'clients got more than was charged');
  assert.ok(result.peakMemoryBytes <= MEMORY_BYTES, `${result.peakMemoryBytes >> 20} MB`);
  assert.ok(result.loop.workMs <= HELD_MS, `the event loop was held for ${result.loop.workMs.toFixed(1)} ms`);
});
