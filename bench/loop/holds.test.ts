import assert from 'node:assert/strict';
import { it } from 'node:test';
import { entriesOf, worst } from './holds.ts';

it('subtracts garbage collection and other programs from the time that the loop was blocked', () => {
  const lines = [
    // All of it is work.
    { type: 'held', fromMs: 0, toMs: 6, cpuMs: 6, waitedMs: 0 },
    // Contains a pause of 8 ms, and one that only begins in it.
    { type: 'held', fromMs: 100, toMs: 120, cpuMs: 20, waitedMs: 0 },
    { type: 'gc', fromMs: 101, toMs: 109 },
    { type: 'gc', fromMs: 118, toMs: 125 },
    // Other programs had the processor, and clock ticks were counted as ours.
    { type: 'held', fromMs: 200, toMs: 240, cpuMs: 12, waitedMs: 33 },
    // A hypervisor took the processor away.
    { type: 'held', fromMs: 300, toMs: 330, cpuMs: 2, waitedMs: 0 },
  ];
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  assert.deepEqual(worst(entriesOf(text)), { heldMs: 40, workMs: 10, gcMs: 8 });
  assert.deepEqual(worst([]), { heldMs: 0, workMs: 0, gcMs: 0 });
});
