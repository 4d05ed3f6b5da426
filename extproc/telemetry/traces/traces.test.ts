import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RecordedContent } from '../../record.ts';
import { RequestTrace } from '../../trace-context.ts';
import { outcomeOfStream } from '../testing.ts';
import type { SpanTask } from './span-worker.ts';
import { newTraces } from './traces.ts';

const kept: RecordedContent = {
  policy: 'default/reviews',
  destinations: ['Spans'],
  prompt: { texts: [{ scope: 'user', isJson: false, text: 'kept-words' }], truncated: false },
  response: undefined,
  drops: [],
};

test('content is on the spans of a sampled trace, and the parent of a request may leave its trace out', async () => {
  const tasks: (SpanTask | 'close')[] = [];
  let exit = () => {};
  const traces = newTraces({
    worker: {
      protocol: 'http/json',
      service: { serviceName: 'test', serviceVersion: '1', instanceId: 'one' },
      latest: false,
      openInference: false,
    },
    maxSpans: 100,
    delayMs: 60_000,
    onCollector: () => {},
    newWorker: () => ({
      postMessage(task) {
        tasks.push(task);
        if (task === 'close') {
          exit();
        }
      },
      on(event: string, listener: (...values: never[]) => void) {
        if (event === 'exit') {
          exit = listener;
        }
        return this;
      },
      terminate: async () => 0,
      unref: () => undefined,
    }),
    sampler: 'parentbased_always_on',
    ratio: 1,
    always: [],
    hashesKeys: false,
  });
  for (const flags of ['00', '01']) {
    const parent = ['traceparent', `00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033${flags}-${flags}`] as const;
    traces.record({ ...outcomeOfStream, trace: new RequestTrace([parent], traces.options) }, [], [kept]);
  }
  await traces.close(1_000);
  const [requests] = tasks;
  assert.ok(Array.isArray(requests));
  assert.equal(requests.length, 1);
  assert.match(requests[0], /b7ad6b7169203301.*kept-words/);
});
