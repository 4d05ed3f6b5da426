import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContentPolicy } from '../../../contract/content.ts';
import { compileContentPolicy } from '../../content/compile.ts';
import { CollectedContent } from '../../content/content-capture.ts';
import type { RecordedContent } from '../../record.ts';
import { outcomeOfStream } from '../testing.ts';
import type { ContentReport } from './content-batches.ts';
import { newContentExport } from './content-export.ts';
import { ContentQueue, type ContentWorker } from './content-queue.ts';
import { contentEntry } from './entry.ts';
import type { OtlpContentTarget } from './target.ts';

const kept: RecordedContent = {
  policy: 'default/reviews',
  destinations: ['OTLPLogs', 'S3'],
  prompt: {
    texts: [
      { scope: 'system', isJson: false, text: 'Be brief.' },
      { scope: 'user', isJson: false, text: 'Hi' },
      { scope: 'user', isJson: false, text: 'there' },
      { scope: 'toolResult', isJson: false, text: '21' },
    ],
    truncated: true,
  },
  response: {
    texts: [
      { scope: 'reasoning', isJson: false, text: 'Hm' },
      { scope: 'toolCall', isJson: true, text: '{"a":1}' },
    ],
    truncated: false,
  },
  drops: [],
};

test('an entry has the messages of the conventions', () => {
  const { attributes, instructions, input, output } = contentEntry(outcomeOfStream, kept, 'id', false);
  assert.deepEqual(instructions, [{ type: 'text', content: 'Be brief.' }]);
  assert.deepEqual(input, [
    {
      role: 'user',
      parts: [
        { type: 'text', content: 'Hi' },
        { type: 'text', content: 'there' },
      ],
    },
    { role: 'tool', parts: [{ type: 'tool_call_response', response: '21' }] },
  ]);
  const parts = [
    { type: 'reasoning', content: 'Hm' },
    { type: 'tool_call', name: '', arguments: '{"a":1}' },
  ];
  assert.deepEqual(output, [{ role: 'assistant', parts, finish_reason: 'stop' }]);
  assert.equal(attributes['tallygate.content.policy'], 'default/reviews');
  assert.equal(attributes['tallygate.content.truncated'], true);
});

test('an answer that the client did not get to its end is marked as one that was cut', () => {
  const { output } = contentEntry({ ...outcomeOfStream, clientLeft: true }, kept, 'id', false);
  assert.equal(output?.[0]?.finish_reason, 'length');
});

const collector: OtlpContentTarget = { type: 'otlp', url: 'http://c', protocol: 'http/protobuf' };

/** A worker that does only what a test says. */
function newFakeWorker() {
  const tasks: unknown[] = [];
  let tell: (report: ContentReport) => void = () => {};
  let exit = () => {};
  const worker: ContentWorker = {
    postMessage: (task) => tasks.push(task),
    on(event: string, listener: (...values: never[]) => void) {
      if (event === 'message') {
        tell = listener as typeof tell;
      } else if (event === 'exit') {
        exit = listener as typeof exit;
      }
      return this;
    },
    terminate: async () => 0,
    unref: () => undefined,
  };
  const done = { failure: undefined, closed: false };
  return {
    worker,
    tasks,
    report: (more: object) => tell({ entries: 0, exported: 0, ...done, ...more }),
    exit: () => exit(),
  };
}

function queueWith(fake: ReturnType<typeof newFakeWorker>, maxUnits: number) {
  const clock = { ms: 0 };
  const failures: (string | undefined)[] = [];
  let starts = 0;
  const seen = { queue_full: 0, export_failed: 0, export_refused: 0, exported: 0, failures };
  const queue = new ContentQueue({
    worker: { target: collector, headers: {}, accessKey: undefined },
    maxUnits,
    dropped: (reason, count) => {
      seen[reason] += count;
    },
    exported: (count) => {
      seen.exported += count;
    },
    onDestination: (failure) => seen.failures.push(failure),
    now: () => clock.ms,
    newWorker: () => {
      starts++;
      return fake.worker;
    },
  });
  return { queue, seen, clock, starts: () => starts };
}

test('what waits is bounded, and what has no room is counted', () => {
  const fake = newFakeWorker();
  const { queue, seen } = queueWith(fake, 100);
  for (let i = 0; i < 5; i++) {
    queue.add('x'.repeat(40));
  }
  assert.deepEqual([fake.tasks.length, seen.queue_full], [2, 3]);
  fake.report({ entries: 1, exported: 1 });
  queue.add('x'.repeat(40));
  assert.deepEqual([fake.tasks.length, seen.queue_full, seen.exported], [3, 3, 1]);
});

test('failures are counted by reason, and told once until the destination recovers', () => {
  const fake = newFakeWorker();
  const { queue, seen, clock } = queueWith(fake, 1000);
  for (let i = 0; i < 9; i++) {
    queue.add('{}');
  }
  fake.report({ entries: 2, exported: 1, failure: { reason: 'export_failed', text: 'gone' } });
  fake.report({ entries: 2, failure: { reason: 'export_refused', text: 'denied' } });
  fake.report({ entries: 1, exported: 1 });
  fake.report({ entries: 1, failure: { reason: 'export_failed', text: 'gone again' } });
  assert.deepEqual([seen.export_failed, seen.export_refused, seen.exported, seen.failures], [2, 2, 2, ['gone']]);
  clock.ms = 60_000;
  fake.report({ entries: 1, exported: 1 });
  assert.deepEqual(seen.failures, ['gone', undefined]);
  fake.exit();
  assert.equal(seen.export_failed, 4);
});

test('a worker that ends is started again after a pause, and what comes in the pause is dropped', () => {
  const fake = newFakeWorker();
  const { queue, seen, clock, starts } = queueWith(fake, 1000);
  queue.add('{}');
  fake.exit();
  clock.ms = 999;
  queue.add('{}');
  assert.deepEqual([starts(), seen.export_failed], [1, 2]);
  clock.ms = 1_000;
  queue.add('{}');
  assert.deepEqual([starts(), seen.export_failed, fake.tasks.length], [2, 2, 2]);
});

test('the end of the process waits for a hung destination only until the deadline', async () => {
  const fake = newFakeWorker();
  const { queue, seen } = queueWith(fake, 1000);
  queue.add('{}');
  await queue.close(20);
  assert.equal(seen.export_failed, 1);
  queue.add('{}');
  assert.equal(seen.queue_full, 1);
});

const policy: ContentPolicy = {
  name: 'default/reviews',
  content: ['Prompt'],
  destinations: ['OTLPLogs', 'S3'],
  maxBytes: 1024,
  samplingPercent: 100,
  redact: [{ detector: { type: 'Builtin', detectors: ['Email'] }, placeholder: '<{type}-{index}>' }],
  notifyHeader: true,
  exempt: [],
};

test('content is redacted in a thread, and what has no destination is counted', async () => {
  const fake = newFakeWorker();
  const content = newContentExport({
    targets: [collector],
    headers: {},
    accessKey: undefined,
    hashesKeys: false,
    onDestination: () => undefined,
    newWorker: () => fake.worker,
  });
  const exported = (destinations: ContentPolicy['destinations'], text: string | undefined) => {
    const texts = [{ scope: 'user' as const, isJson: false, text: text ?? '', isCut: false }];
    const prompt = text === undefined ? ('unreadable' as const) : { texts, truncated: false };
    const collected = new CollectedContent([compileContentPolicy({ ...policy, destinations })], prompt, undefined);
    return new Promise<readonly RecordedContent[]>((resolve) =>
      content.record({ ...outcomeOfStream, content: collected }, resolve),
    );
  };
  const none = await new Promise<unknown>((resolve) => content.record(outcomeOfStream, resolve));
  assert.deepEqual(none, []);
  const [one] = await exported(['OTLPLogs', 'S3'], 'I am jane@example.com');
  assert.deepEqual(one?.prompt?.texts, [{ scope: 'user', isJson: false, text: 'I am <Email-1>' }]);
  await exported(['Spans'], 'Hi');
  await exported(['OTLPLogs'], undefined);
  assert.deepEqual(
    [...content.dropped],
    [
      ['no_destination', 1],
      ['unreadable', 1],
    ],
  );
  assert.equal(fake.tasks.length, 1);
  assert.doesNotMatch(JSON.stringify(fake.tasks), /jane/);
  const tooMuch = await exported(['OTLPLogs'], 'x'.repeat(17 * 1024 * 1024));
  assert.deepEqual([tooMuch, content.dropped.get('queue_full')], [[], 1]);
  await content.close(100);
});
