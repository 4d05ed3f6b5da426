import { test } from 'node:test';
import { fuzz } from '../../../tools/fuzz/cases.ts';
import { Simulation } from './testing/simulation.ts';

test('replicas never pass a shared limit and charge each unit once, whatever fails', async () => {
  await fuzz(20, (random) => {
    const simulation = new Simulation(random, random.between(1, 5));
    for (let step = 0; step < 300; step++) {
      simulation.step();
    }
    simulation.finish();
  });
});
