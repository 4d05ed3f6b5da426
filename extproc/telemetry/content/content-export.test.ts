import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { ContentPolicy } from '../../../contract/content.ts';
import { compileContentPolicy } from '../../content/compile.ts';
import { CollectedContent } from '../../content/content-capture.ts';
import type { RecordedContent } from '../../record.ts';
import { outcomeOfStream } from '../testing.ts';
import { newContentExport } from './content-export.ts';
import { ContentQueue, type ContentWorker } from './content-queue.ts';
import type { ContentReport } from './content-worker.ts';
import { type ContentEntry, contentEntry } from './entry.ts';
import { s3ContentSender } from './s3-sender.ts';
import { parseContentTargets, type S3ContentTarget } from './target.ts';

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

test('targets of another form are refused', () => {
  assert.deepEqual(
    parseContentTargets('otlp+http://c:4318/v1/logs, s3://b-1/p/q?region=eu-central-1&encryption=aws:kms&kms-key=k'),
    [
      { type: 'otlp', url: 'http://c:4318/v1/logs' },
      {
        type: 's3',
        url: 'https://b-1.s3.eu-central-1.amazonaws.com/p/q/',
        region: 'eu-central-1',
        encryption: 'aws:kms',
        kmsKey: 'k',
      },
    ],
  );
  assert.deepEqual(parseContentTargets('s3+http://minio:9000/bucket?region=us-east-1'), [
    { type: 's3', url: 'http://minio:9000/bucket/', region: 'us-east-1' },
  ]);
  for (const wrong of [
    '',
    'http://c',
    's3://bucket/p',
    's3://Bucket/p?region=r',
    's3+http://minio:9000?region=r',
    's3+http://user:secret@minio/b?region=r',
    's3://bucket/p?region=r&encryption=none',
    's3://bucket/p?region=r&kms-key=k',
    's3://bucket/p?region=r&acl=public-read',
    'otlp+http://a,otlp+http://b',
  ]) {
    assert.equal(parseContentTargets(wrong), undefined, wrong);
  }
});

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
  const seen = { queue_full: 0, export_failed: 0, exported: 0, failures: [] as (string | undefined)[] };
  const queue = new ContentQueue({
    worker: { target: { type: 'otlp', url: 'http://c' }, headers: {}, credentials: undefined },
    maxUnits,
    dropped: (reason, count) => {
      seen[reason] += count;
    },
    exported: (count) => {
      seen.exported += count;
    },
    onDestination: (failure) => seen.failures.push(failure),
    newWorker: () => fake.worker,
  });
  return { queue, seen };
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

test('failures are counted, and told once until the destination recovers', () => {
  const fake = newFakeWorker();
  const { queue, seen } = queueWith(fake, 1000);
  for (let i = 0; i < 6; i++) {
    queue.add('{}');
  }
  fake.report({ entries: 2, exported: 1, failure: 'gone' });
  fake.report({ entries: 1, failure: 'still gone' });
  fake.report({ entries: 1, exported: 1 });
  assert.deepEqual([seen.export_failed, seen.exported, seen.failures], [2, 2, ['gone', undefined]]);
  fake.exit();
  assert.equal(seen.export_failed, 4);
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
    targets: [{ type: 'otlp', url: 'http://c' }],
    headers: {},
    credentials: undefined,
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

const entry: ContentEntry = contentEntry(outcomeOfStream, kept, '0000-1', false);

async function bucketWith(statuses: readonly number[]) {
  const requests: { readonly url: string; readonly headers: IncomingHttpHeaders }[] = [];
  const server = createServer((request, response) => {
    requests.push({ url: request.url!, headers: request.headers });
    response.writeHead(statuses[requests.length - 1] ?? 200).end('<Error>x</Error>');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/bucket/`;
  const target: S3ContentTarget = { type: 's3', url, region: 'r', encryption: 'aws:kms', kmsKey: 'key-1' };
  const sender = s3ContentSender(target, { id: 'i', secret: 's' }, { timeoutMs: 2000, delaysMs: [1, 1] });
  return { requests, sender, close: () => server.close() };
}

test('objects are encrypted at rest as the operator says, and stored again after a failure of the bucket', async () => {
  const { requests, sender, close } = await bucketWith([503, 200]);
  assert.deepEqual(await sender.send([entry]), { accepted: 1, failure: undefined });
  assert.equal(requests.length, 2);
  const { url, headers } = requests[1]!;
  assert.match(url, /^\/bucket\/\d{4}\/\d\d\/\d\d\/\d\d\/0000-1\.json$/);
  assert.equal(headers['x-amz-server-side-encryption'], 'aws:kms');
  assert.equal(headers['x-amz-server-side-encryption-aws-kms-key-id'], 'key-1');
  assert.match(String(headers.authorization), /SignedHeaders=[^,]*x-amz-server-side-encryption/);
  close();
});

test('a refusal of the bucket is final, and a bucket that is gone fails', async () => {
  const { requests, sender, close } = await bucketWith([403]);
  assert.deepEqual(await sender.send([entry]), { accepted: 0, failure: 'the bucket answered 403' });
  assert.equal(requests.length, 1);
  close();
  const gone = await sender.send([entry, entry]);
  assert.equal(gone.accepted, 0);
  assert.notEqual(gone.failure, undefined);
});
