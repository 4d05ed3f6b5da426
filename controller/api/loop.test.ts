import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from '../../runtime/log.ts';
import { startReconcileLoop } from './loop.ts';

const log = createLog({ level: 'silent', destination: { write: () => {} } });
const common = { name: 'test', gatherMs: 1, everyMs: 60_000, log };

test('requests during a run lead to one more run, and runs never overlap', async () => {
  const begun: (() => void)[] = [];
  let runs = 0;
  let running = 0;
  const { promise: done, resolve: finish } = Promise.withResolvers<void>();
  const loop = startReconcileLoop({
    ...common,
    async run() {
      assert.equal(++running, 1);
      runs++;
      if (runs === 1) {
        await new Promise<void>((resolve) => begun.push(resolve));
      }
      running--;
      if (runs === 2) {
        finish();
      }
      return true;
    },
  });
  loop.ask();
  while (begun.length === 0) {
    await new Promise(setImmediate);
  }
  for (let count = 0; count < 5; count++) {
    loop.ask();
  }
  begun[0]!();
  await done;
  await loop.close();
  assert.equal(runs, 2);
});

test('a run that fails or throws is retried', async () => {
  let runs = 0;
  const { promise: done, resolve: finish } = Promise.withResolvers<void>();
  const loop = startReconcileLoop({
    ...common,
    run() {
      runs++;
      if (runs === 1) {
        return Promise.resolve(false);
      }
      if (runs === 2) {
        return Promise.reject(new Error('no'));
      }
      finish();
      return Promise.resolve(true);
    },
  });
  loop.ask();
  await done;
  await loop.close();
  assert.equal(runs, 3);
});

test('close aborts the current run and waits for it', async () => {
  let told = false;
  const { promise: started, resolve: start } = Promise.withResolvers<void>();
  const loop = startReconcileLoop({
    ...common,
    run(signal) {
      start();
      return new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          told = true;
          resolve(true);
        });
      });
    },
  });
  loop.ask();
  await started;
  await loop.close();
  assert.equal(told, true);
});
