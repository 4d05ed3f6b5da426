import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { it } from 'node:test';
import { SpanQueue, type SpanThread } from './span-queue.ts';
import type { SpanReport, SpanTask } from './span-worker.ts';

class TestWorker extends EventEmitter implements SpanThread {
  readonly tasks: (SpanTask | 'close')[] = [];
  postMessage(task: SpanTask | 'close'): void {
    this.tasks.push(task);
  }
  async terminate(): Promise<void> {
    this.emit('exit');
  }
  unref(): void {}
  report(report: Partial<SpanReport>): void {
    this.emit('message', { requests: 0, exported: 0, dropped: 0, failure: undefined, closed: false, ...report });
  }
}

function newQueue(maxSpans: number) {
  const clock = { ms: 0 };
  const workers: TestWorker[] = [];
  const told: (string | undefined)[] = [];
  const queue = new SpanQueue({
    worker: {
      protocol: 'http/json',
      service: { serviceName: 'test', serviceVersion: '1', instanceId: 'one' },
      latest: false,
      openInference: false,
    },
    maxSpans,
    delayMs: 60_000,
    onCollector: (failure) => told.push(failure),
    now: () => clock.ms,
    newWorker: () => {
      workers.push(new TestWorker());
      return workers.at(-1)!;
    },
  });
  const add = (requests: number) => {
    for (let i = 0; i < requests; i++) {
      if (queue.admits(3)) {
        queue.add('{}', 3);
      }
    }
  };
  return { queue, workers, told, add, clock };
}

it('spans beyond the bound are dropped and counted until the worker has sent others', () => {
  const { queue, workers, add } = newQueue(300);
  add(120);
  assert.equal(queue.dropped, 60);
  const [worker] = workers;
  assert.equal(worker?.tasks.length, 4);
  worker?.report({ requests: 50, exported: 150 });
  add(50);
  assert.deepEqual([queue.dropped, queue.exported], [60, 150]);
});

it('spans of large requests are bounded by their size', () => {
  const { queue, workers } = newQueue(20_000);
  const request = JSON.stringify('x'.repeat(1024 * 1024));
  for (let i = 0; i < 40; i++) {
    if (queue.admits(3)) {
      queue.add(request, 3);
    }
  }
  assert.equal(queue.dropped, 3 * 8);
  assert.equal(workers.length, 0);
});

it('the collector is reported when it begins to fail and when it recovers', () => {
  const { workers, told, add, queue } = newQueue(1000);
  add(100);
  for (const failure of ['gone', 'gone', undefined, undefined]) {
    workers[0]?.report({ requests: 1, exported: failure === undefined ? 3 : 0, dropped: 3, failure });
  }
  assert.deepEqual(told, ['gone', undefined]);
  assert.equal(queue.dropped, 12);
});

it('a worker that ends loses what it had, and another one takes its place after a pause', () => {
  const { queue, workers, add, clock } = newQueue(1000);
  add(84);
  workers[0]?.emit('error', new Error('out of memory'));
  workers[0]?.emit('exit');
  assert.equal(queue.dropped, 252);
  clock.ms = 999;
  add(84);
  assert.deepEqual([workers.length, queue.dropped], [1, 504]);
  clock.ms = 1_000;
  add(84);
  assert.deepEqual([workers.length, workers[1]?.tasks.length, queue.dropped], [2, 1, 504]);
});

it('closing waits for the worker until the deadline', async () => {
  const { queue, workers, add } = newQueue(1000);
  add(3);
  const closed = queue.close(10_000);
  assert.deepEqual(workers[0]?.tasks, [['{}', '{}', '{}'], 'close']);
  workers[0]?.report({ requests: 3, exported: 9 });
  workers[0]?.report({ closed: true });
  await closed;
  assert.equal(queue.dropped, 0);
  assert.equal(queue.admits(1), false);

  const hanging = newQueue(1000);
  hanging.add(3);
  await hanging.queue.close(1);
  assert.equal(hanging.queue.dropped, 9);
});
