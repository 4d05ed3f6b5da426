import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { createLog } from './log.ts';
import { abortOnSignals, runSteps } from './shutdown.ts';

const log = createLog({ level: 'silent', destination: { write: () => {} } });

test('steps run in order, and neither a failing nor a stuck one stops the next', async () => {
  const order: string[] = [];
  const step = (name: string, run: () => unknown) => ({
    name,
    deadlineMs: 20,
    run: () => {
      order.push(name);
      return run();
    },
  });
  const clean = await runSteps(
    [
      step('throws', () => {
        throw new Error('no');
      }),
      step('never ends', () => new Promise(() => {})),
      step('last', () => {}),
    ],
    log,
  );
  assert.equal(clean, false);
  assert.deepEqual(order, ['throws', 'never ends', 'last']);
  assert.equal(await runSteps([step('good', () => {})], log), true);
});

test('the first signal aborts with its name, the second ends at once', () => {
  const source = new EventEmitter();
  let ended = 0;
  const { signal, dispose } = abortOnSignals(() => ended++, source);
  source.emit('SIGTERM', 'SIGTERM');
  assert.equal(signal.aborted, true);
  assert.equal(signal.reason, 'SIGTERM');
  assert.equal(ended, 0);
  source.emit('SIGINT', 'SIGINT');
  assert.equal(ended, 1);
  dispose();
  assert.equal(source.listenerCount('SIGINT'), 0);
});
