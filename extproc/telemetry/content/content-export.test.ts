import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { ContentPolicy } from '../../../contract/content.ts';
import { compileContentPolicy } from '../../content/compile.ts';
import { CollectedContent } from '../../content/content-capture.ts';
import type { RecordedContent } from '../../record.ts';
import { outcomeOfStream } from '../testing.ts';
import { newContentExport } from './content-export.ts';
import { ContentQueue, type ContentThread } from './content-queue.ts';
import type { ContentReport, ContentTask, SentReport } from './content-worker.ts';
import { contentEntry, contentFacts } from './entry.ts';
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
  const { attributes, instructions, input, output } = contentEntry(contentFacts(outcomeOfStream, false), kept, 'id');
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
  const { output } = contentEntry(contentFacts({ ...outcomeOfStream, clientLeft: true }, false), kept, 'id');
  assert.equal(output?.[0]?.finish_reason, 'length');
});

const collector: OtlpContentTarget = { type: 'otlp', url: 'http://c', protocol: 'http/protobuf' };

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

/** A worker that does only what a test says. */
function newFakeWorker() {
  const tasks: (ContentTask | 'close')[] = [];
  let tell: (report: ContentReport) => void = () => {};
  let exit = () => {};
  const worker: ContentThread = {
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
  const destination = 'OTLPLogs' as const;
  return {
    worker,
    tasks,
    jobs: () => tasks.flatMap((task) => (task === 'close' ? [] : task.jobs)).map((job) => JSON.parse(job)),
    redacted: (jobs: number, entries = jobs, keeps: readonly (readonly RecordedContent[])[] = []) =>
      tell({ type: 'redacted', jobs, entries, kept: keeps, dropped: new Map() }),
    sent: (more: Partial<SentReport>) =>
      tell({ type: 'sent', destination, entries: 0, exported: 0, failure: undefined, ...more }),
    exit: () => exit(),
  };
}

/** `text`: undefined: the prompt cannot be read. */
function contentWith(text: string | undefined, destinations: ContentPolicy['destinations']): CollectedContent {
  const texts = [{ scope: 'user' as const, isJson: false, text: text ?? '', isCut: false }];
  const prompt = text === undefined ? ('unreadable' as const) : { texts, truncated: false };
  return new CollectedContent([compileContentPolicy({ ...policy, destinations })], { prompt, response: undefined });
}

function queueWith(t: TestContext, fake: ReturnType<typeof newFakeWorker>) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const clock = { ms: 0 };
  const failures: (string | undefined)[] = [];
  let starts = 0;
  const seen: Record<string, number> = { queue_full: 0, export_failed: 0, export_refused: 0, exported: 0 };
  const queue = new ContentQueue({
    worker: { targets: [collector], headers: {}, accessKey: undefined },
    dropped: (reason, count) => {
      seen[reason]! += count;
    },
    exported: (count) => {
      seen['exported']! += count;
    },
    onDestination: (_, failure) => failures.push(failure),
    now: () => clock.ms,
    newWorker: () => {
      starts++;
      return fake.worker;
    },
  });
  const facts = contentFacts(outcomeOfStream, false);
  const add = (count: number, units = 1, then?: (kept: readonly RecordedContent[]) => void) => {
    for (let i = 0; i < count; i++) {
      queue.add(contentWith('x'.repeat(units), ['OTLPLogs']), facts, then);
    }
  };
  const flush = () => t.mock.timers.tick(1_000);
  return { queue, seen, failures, clock, add, flush, starts: () => starts };
}

test('requests go to the worker together: after a moment, when there are many, or when they are large', (t) => {
  const fake = newFakeWorker();
  const { add, flush } = queueWith(t, fake);
  const jobs = () => fake.tasks.map((task) => (task === 'close' ? 0 : task.jobs.length));
  add(3);
  assert.deepEqual(jobs(), []);
  flush();
  add(257);
  assert.deepEqual(jobs(), [3, 256]);
  flush();
  add(3, 512 * 1024);
  assert.deepEqual(jobs(), [3, 256, 1, 2]);
});

test('what waits is bounded, and what has no room is counted', (t) => {
  const fake = newFakeWorker();
  const { add, seen } = queueWith(t, fake);
  add(20, 1024 * 1024);
  assert.deepEqual([fake.tasks.length, seen['queue_full']], [16, 4]);
  fake.redacted(1);
  add(1, 1024 * 1024);
  assert.deepEqual([fake.tasks.length, seen['queue_full']], [17, 4]);
});

test('failures are counted by reason, and told once until the destination recovers', (t) => {
  const fake = newFakeWorker();
  const { add, flush, seen, failures, clock } = queueWith(t, fake);
  add(9);
  flush();
  fake.redacted(9);
  fake.sent({ entries: 2, exported: 1, failure: { reason: 'export_failed', text: 'gone' } });
  fake.sent({ entries: 2, failure: { reason: 'export_refused', text: 'denied' } });
  fake.sent({ entries: 1, exported: 1 });
  fake.sent({ entries: 1, failure: { reason: 'export_failed', text: 'gone again' } });
  assert.deepEqual(seen, { queue_full: 0, export_failed: 2, export_refused: 2, exported: 2 });
  assert.deepEqual(failures, ['gone']);
  clock.ms = 60_000;
  fake.sent({ entries: 1, exported: 1 });
  assert.deepEqual(failures, ['gone', undefined]);
  fake.exit();
  assert.equal(seen['export_failed'], 4);
});

test('a worker that ends is started again after a pause, and what comes in the pause is dropped', (t) => {
  const fake = newFakeWorker();
  const { add, flush, seen, clock, starts } = queueWith(t, fake);
  let answers = 0;
  const then = (all: readonly RecordedContent[]) => {
    answers += all.length + 1;
  };
  add(1, 1, then);
  flush();
  fake.exit();
  clock.ms = 999;
  add(1, 1, then);
  flush();
  assert.deepEqual([starts(), seen['export_failed'], answers], [1, 2, 2]);
  clock.ms = 1_000;
  add(1);
  flush();
  assert.deepEqual([starts(), seen['export_failed'], fake.tasks.length], [2, 2, 2]);
});

test('who waits for what policies keep gets that of the own request', (t) => {
  const fake = newFakeWorker();
  const { add, flush } = queueWith(t, fake);
  const got: string[] = [];
  add(1, 1, ([first]) => got.push(`a ${first?.policy}`));
  add(1);
  add(1, 1, ([first]) => got.push(`b ${first?.policy}`));
  flush();
  assert.deepEqual(
    fake.jobs().map(({ isAwaited }) => isAwaited),
    [true, false, true],
  );
  fake.redacted(3, 3, [[{ ...kept, policy: 'one' }], [{ ...kept, policy: 'two' }]]);
  assert.deepEqual(got, ['a one', 'b two']);
});

test('the end of the process waits for a hung destination only until the deadline', async (t) => {
  const fake = newFakeWorker();
  const { queue, add, seen } = queueWith(t, fake);
  add(1);
  const closed = queue.close(20);
  t.mock.timers.tick(20);
  await closed;
  assert.deepEqual([fake.tasks.at(-1), seen['export_failed']], ['close', 1]);
  add(1);
  assert.equal(seen['queue_full'], 1);
});

test('content is redacted in a thread and exported, and what has no destination is counted', async (t) => {
  const bodies: string[] = [];
  const server = createServer(async (request, response) => {
    bodies.push(Buffer.concat(await request.toArray()).toString());
    response.end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const content = newContentExport({
    targets: [{ ...collector, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }],
    headers: {},
    accessKey: undefined,
    hashesKeys: false,
    onDestination: () => undefined,
  });
  const record = (collected: CollectedContent | undefined) =>
    new Promise<readonly RecordedContent[]>((resolve) =>
      content.record({ ...outcomeOfStream, content: collected }, resolve),
    );
  assert.deepEqual(await record(undefined), []);
  assert.deepEqual(await record(contentWith('I am jane@example.com', ['OTLPLogs', 'S3'])), []);
  const [one] = await record(contentWith('Write to joe@example.com', ['Spans', 'OTLPLogs']));
  assert.deepEqual(one?.prompt?.texts, [{ scope: 'user', isJson: false, text: 'Write to <Email-1>' }]);
  await record(contentWith(undefined, ['OTLPLogs']));
  await content.close(10_000);
  assert.deepEqual(
    [...content.dropped],
    [
      ['no_destination', 1],
      ['unreadable', 1],
    ],
  );
  assert.equal(content.exported, 2);
  assert.match(bodies.join(), /I am <Email-1>/);
  assert.doesNotMatch(bodies.join(), /jane|joe/);
});
