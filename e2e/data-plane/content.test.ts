/**
 * Content of prompts and answers: nothing leaves the gateway without a policy, and with one, only
 * redacted content, once, at the destinations that the policy names.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { type Bucket, startBucket } from './support/bucket.ts';
import { type Collector, startCollector } from './support/collector.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { backend, type Document, route } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { MODEL } from './support/world.ts';

const CARD = '4111 1111 1111 1111';
const EMAIL = 'jane.doe@example.com';
const PLANTED = [CARD, CARD.replaceAll(' ', ''), EMAIL];
const WORDS = { off: 'quiet-words-of-nobody', kept: 'kept-words' };
const EVENT = 'gen_ai.client.inference.operation.details';
const TRACES_TOKEN = 'token-of-the-collector-of-traces';
const [KEY_ID, SECRET_KEY] = ['AKIDEXAMPLE', 'bucket-secret-key'];

const policy: Document = {
  apiVersion: 'tallygate.dev/v1alpha1',
  kind: 'AIContentPolicy',
  metadata: { name: 'reviews', namespace: 'default' },
  spec: {
    targetRefs: [{ group: 'tallygate.dev', kind: 'AIGatewayRoute', name: 'chat', sectionName: 'kept' }],
    destinations: ['OTLPLogs', 'Spans', 'S3'],
  },
};

let collector: Collector;
let bucket: Bucket;
let provider: Provider;
let gateway: Gateway;

before(async () => {
  [collector, provider, bucket] = await Promise.all([
    startCollector({ receivesContent: true }),
    startProvider(),
    startBucket(KEY_ID, SECRET_KEY, 'eu-central-1'),
  ]);
  const backendRefs = [{ name: 'first', model: MODEL }];
  gateway = await startGateway(
    [
      backend('first', { port: provider.port }),
      route('chat', [
        { name: 'kept', models: ['kept'], backendRefs },
        { name: 'off', models: ['off'], backendRefs },
      ]),
      policy,
    ],
    {
      environment: {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
        OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${TRACES_TOKEN}`,
        TALLYGATE_CONTENT_EXPORT: `otlp+${collector.url}/v1/logs?protocol=http/json,s3+${bucket.url}/content/prompts?region=eu-central-1&encryption=AES256`,
        TALLYGATE_CONTENT_S3_KEY_ID: KEY_ID,
        TALLYGATE_CONTENT_S3_SECRET_KEY: SECRET_KEY,
      },
    },
  );
});
after(async () => {
  await gateway?.stop();
  await provider?.stop();
  collector?.stop();
  bucket?.stop();
});

async function ask(model: string, text: string, stream: boolean): Promise<{ text: string; notice: string | null }> {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-mock': JSON.stringify({ echo: true }) },
    body: JSON.stringify({ model, stream, messages: [{ role: 'user', content: text }] }),
  });
  return { text: await response.text(), notice: response.headers.get('x-tallygate-content') };
}

/** The lines of all objects. */
const stored = () =>
  bucket.objects.flatMap(({ body }) =>
    body
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>),
  );
const kept = () => collector.logs.filter((log) => log['eventName'] === EVENT);

/** Returns all that has left the gateway, beside the traffic, and what it has on disk. */
async function outputs(): Promise<Readonly<Record<string, string>>> {
  const json = (value: unknown) =>
    JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? String(each) : each));
  const response = await fetch(`${gateway.metricsUrl}/metrics`);
  const state = path.join(gateway.folder, 'state');
  const files = readdirSync(state, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
  return {
    log: gateway.log(),
    lines: json(gateway.records),
    metrics: await response.text(),
    spans: json(collector.spans),
    logs: json(collector.logs),
    objects: json(bucket.objects),
    disk: files.map((file) => readFileSync(path.join(file.parentPath, file.name), 'latin1')).join('\n'),
  };
}

it('no content leaves the gateway where no policy says so, and the caller is told nothing', async () => {
  const { result } = await gateway.recordOf(() => ask('off', `${WORDS.off} ${EMAIL}`, true));
  assert.equal(result.notice, null);
  await waitFor('the span', () => collector.spans.some(({ name }) => name === 'chat off'), 5_000);
  for (const [name, text] of Object.entries(await outputs())) {
    assert.ok(!text.includes(WORDS.off), name);
  }
});

for (const stream of [false, true]) {
  it(`redacted content arrives once at each destination, ${stream ? 'streamed' : 'whole'}`, async () => {
    const before = { logs: kept().length, objects: stored().length };
    const { text, notice } = await ask('kept', `${WORDS.kept}: card ${CARD} of ${EMAIL}, done.`, stream);
    assert.equal(notice, 'kept');
    // The client gets its answer as it is.
    assert.ok(stream || text.includes(CARD));
    await waitFor('both', () => kept().length > before.logs && stored().length > before.objects, 5_000);
    assert.equal(collector.logHeaders['authorization'], undefined);
    const log = JSON.stringify(kept().at(-1));
    const masked = `${WORDS.kept}: card <CreditCard-1> of <Email-1>, done.`;
    assert.equal(log.split(masked).length, 3, log);
    const object = bucket.objects.at(-1)!;
    assert.match(object.key, /^\/content\/prompts\/\d{4}\/\d\d\/\d\d\/\d\d\/\d\d-\d\d-[0-9a-f-]{36}-\d+\.jsonl$/);
    assert.equal(object.headers['x-amz-server-side-encryption'], 'AES256');
    const parts = [{ type: 'text', content: masked }];
    const content = stored().at(-1)!;
    assert.deepEqual(content['input_messages'], [{ role: 'user', parts }]);
    assert.deepEqual(content['output_messages'], [{ role: 'assistant', parts, finish_reason: 'stop' }]);
    assert.equal(kept().length, before.logs + 1);
    assert.deepEqual([stored().length, bucket.refused], [before.objects + 1, 0]);
  });
}

it('the span of the attempt has the content as JSON', async () => {
  const attempt = () => collector.spans.filter(({ name }) => name === 'chat kept');
  await waitFor('the spans', () => attempt().length === 2, 5_000);
  for (const { attributes } of attempt()) {
    assert.match(String(attributes['gen_ai.input.messages']), /kept-words: card <CreditCard-1> of <Email-1>/);
    assert.match(String(attributes['gen_ai.output.messages']), /kept-words: card <CreditCard-1> of <Email-1>/);
  }
});

it('a collector that hangs holds nothing up', async () => {
  collector.hang();
  const startMs = performance.now();
  for (let i = 0; i < 20; i++) {
    await ask('kept', WORDS.kept, false);
  }
  assert.ok(performance.now() - startMs < 3_000);
  await waitFor('the bucket', () => stored().length >= 22, 5_000);
  assert.ok(bucket.objects.length < 10, `${bucket.objects.length} objects`);
  collector.release();
});

it('planted values are in no output, and content only where the policy says', async () => {
  const all = await outputs();
  for (const [name, text] of Object.entries(all)) {
    for (const value of PLANTED) {
      assert.ok(!text.includes(value), `${value} in ${name}`);
    }
    assert.equal(text.includes(WORDS.kept), ['spans', 'logs', 'objects'].includes(name), name);
  }
});
