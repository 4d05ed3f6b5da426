import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fuzz } from '../../../tools/fuzz/cases.ts';
import { Simulation, type SimulationCounts } from './testing/simulation.ts';

/** A file for the figures of the run. */
const report = process.env['SIMULATION_REPORT'];

test('replicas never pass a shared limit and charge each unit once, whatever fails', async () => {
  const startedMs = performance.now();
  const runs: SimulationCounts[] = [];
  await fuzz(20, (random) => {
    const simulation = new Simulation(random, random.between(1, 5));
    for (let step = 0; step < 300; step++) {
      simulation.step();
    }
    simulation.finish();
    runs.push(simulation.counts);
  });
  if (report) {
    writeFileSync(report, page(runs, (performance.now() - startedMs) / 1000));
  }
});

function page(runs: readonly SimulationCounts[], seconds: number): string {
  const sum = (of: keyof SimulationCounts) =>
    runs.reduce((total, counts) => total + counts[of], 0).toLocaleString('en');
  return [
    '# Simulation of the shared quota store',
    '',
    'Written by `make simulate`: replicas that share limits by allowances, while messages are lost, late and repeated,',
    'replicas crash and are cut off, the store is unreachable or fails over without its last writes, clocks jump by',
    'hours, and policies and operators change limits. Each step checks what the store promises.',
    '',
    `${sum('steps')} steps in ${runs.length.toLocaleString('en')} runs of 1 to 5 replicas, in ${Math.round(seconds)} s: no promise broken.`,
    '',
    '| | |',
    '|---|---|',
    `| Requests granted | ${sum('granted')} |`,
    `| Requests refused | ${sum('refused')} |`,
    `| Exchanges sent | ${sum('messages')} |`,
    `| Crashes of replicas | ${sum('crashes')} |`,
    `| Failovers | ${sum('failovers')} |`,
    '',
  ].join('\n');
}
