import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ContentBatches, type SentEntries } from './content-batches.ts';
import type { ContentEntry } from './entry.ts';
import type { SendOutcome } from './sender.ts';

const DELAY_MS = 1_000;

/** Batches of at most 100 units and one open call, for a destination that a test answers. */
function newBatches(t: TestContext, maxOpen = 1) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const calls: { readonly ids: readonly string[]; readonly answer: (outcome: SendOutcome) => void }[] = [];
  const reports: SentEntries[] = [];
  const batches = new ContentBatches(
    {
      maxEntries: 10,
      maxUnits: 100,
      delayMs: DELAY_MS,
      maxOpen,
      send: (entries) => new Promise((answer) => calls.push({ ids: entries.map(({ id }) => id), answer })),
    },
    (report) => reports.push(report),
  );
  const add = (id: string, units = 20) => batches.add({ id } as ContentEntry, units);
  const answer = async (call: number, accepted: number, failure?: SendOutcome['failure']) => {
    calls[call]!.answer({ accepted, failure });
    // The call goes on in a later microtask.
    await new Promise(setImmediate);
  };
  return { batches, add, answer, reports, sent: () => calls.map(({ ids }) => ids.join('')) };
}

test('entries wait for others until the oldest is old enough', (t) => {
  const { add, sent } = newBatches(t);
  add('a');
  t.mock.timers.tick(DELAY_MS - 1);
  add('b');
  assert.deepEqual(sent(), []);
  t.mock.timers.tick(1);
  assert.deepEqual(sent(), ['ab']);
});

test('entries that fill a message do not wait', (t) => {
  const { add, sent } = newBatches(t, 5);
  [...'abcde'].forEach((id) => {
    add(id);
  });
  assert.deepEqual(sent(), ['abcde']);
  add('f');
  add('g', 300);
  assert.deepEqual(sent(), ['abcde', 'f', 'g']);
  [...'hijklmnopqr'].forEach((id) => {
    add(id, 10);
  });
  assert.deepEqual(sent(), ['abcde', 'f', 'g', 'hijklmnopq']);
  t.mock.timers.tick(DELAY_MS);
  assert.deepEqual(sent().at(-1), 'r');
});

test('at most so many calls are open as the destination takes, and what is old is sent next', async (t) => {
  const { add, sent, answer, reports } = newBatches(t);
  add('a');
  t.mock.timers.tick(DELAY_MS);
  add('b');
  t.mock.timers.tick(DELAY_MS);
  add('c');
  assert.deepEqual(sent(), ['a']);
  await answer(0, 1);
  assert.deepEqual(sent(), ['a', 'bc']);
  add('d');
  await answer(1, 1, { reason: 'export_failed', text: 'x'.repeat(1_000) });
  assert.deepEqual(sent(), ['a', 'bc']);
  assert.deepEqual(
    reports.map(({ entries, exported, failure }) => [entries, exported, failure?.reason, failure?.text.length]),
    [
      [1, 1, undefined, undefined],
      [2, 1, 'export_failed', 300],
    ],
  );
});

test('the end sends what waits at once, and is told when all is sent', async (t) => {
  const { batches, add, sent, answer } = newBatches(t);
  add('a', 90);
  add('b', 90);
  let isClosed = false;
  batches.close(() => {
    isClosed = true;
  });
  assert.deepEqual([sent(), isClosed], [['a'], false]);
  await answer(0, 1);
  assert.equal(isClosed, false);
  await answer(1, 1);
  assert.deepEqual([sent(), isClosed], [['a', 'b'], true]);
});

test('what waits and what is on its way to the destination is bounded', async (t) => {
  const { add, answer } = newBatches(t);
  const quarter = 4 * 1024 * 1024;
  assert.deepEqual(
    [...'abcde'].map((id) => add(id, quarter)),
    [true, true, true, true, false],
  );
  await answer(0, 1);
  assert.deepEqual([add('f', quarter), add('g', quarter)], [true, false]);
});
