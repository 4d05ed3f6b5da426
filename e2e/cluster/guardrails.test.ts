/**
 * Guardrails on a cluster: a built-in mask, a block and a signed webhook, on whole answers and
 * streams; the status of the policy; a Secret that is changed and removed; and the content that an
 * AIContentPolicy keeps, in a bucket.
 */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { Webhook } from 'standardwebhooks';
import type { Document } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { install } from './support/helm.ts';
import { apply, get, kubectl, waitUntil } from './support/kubectl.ts';
import { startProgram } from './support/program.ts';
import type { Reached } from './support/reach.ts';
import { type ClusterWorld, startClusterWorld } from './support/world.ts';

const NAMESPACE = 'tge-guardrails';
const HOST = `guard.${NAMESPACE}.svc`;
const SECRETS = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX'] as const;
/** A change takes effect within a second; the machine of a test may be slow. */
const EFFECT_MS = 10_000;

const secret = (value: string): Document => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'guard', namespace: NAMESPACE },
  stringData: { secret: value },
});

const policy: Document = {
  apiVersion: 'tallygate.dev/v1alpha1',
  kind: 'AIGuardrailPolicy',
  metadata: { name: 'company', namespace: NAMESPACE },
  spec: {
    targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }],
    rules: [
      {
        name: 'addresses',
        phases: ['Request'],
        detect: { type: 'Builtin', builtin: { detectors: ['Email'] } },
        action: { type: 'Mask', mask: { placeholder: '<{type}-{index}>', restore: true } },
      },
      {
        name: 'projects',
        phases: ['Response'],
        detect: { type: 'Pattern', pattern: { expressions: ['(?i)\\bproject falcon\\b'] } },
        action: { type: 'Block' },
      },
      {
        name: 'names',
        phases: ['Request'],
        detect: { type: 'Webhook', webhook: { url: `http://${HOST}:8080/analyze`, secretRef: { name: 'guard' } } },
        action: { type: 'FromDetector' },
        timeout: '3s',
      },
    ],
  },
};

const content: Document = {
  apiVersion: 'tallygate.dev/v1alpha1',
  kind: 'AIContentPolicy',
  metadata: { name: 'kept', namespace: NAMESPACE },
  spec: {
    targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }],
    destinations: ['S3'],
  },
};

/** Its destination is not configured. */
const unsent: Document = {
  ...content,
  metadata: { name: 'unsent', namespace: NAMESPACE },
  spec: { ...(content['spec'] as object), destinations: ['OTLPLogs'] },
};

/** In the namespace of the proxies, whose sidecars write the objects. */
const BUCKET_KEY = { name: 'tge-bucket', namespace: 'envoy-gateway-system' };
const KEY_ID = 'AKIDOFBUCKET';
const bucketKey: Document = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: BUCKET_KEY,
  stringData: { id: KEY_ID, secret: 'key-of-the-bucket-0123456789' },
};

/** Values of the chart by which sidecars write to the bucket. */
function bucketValues(): readonly string[] {
  const url = `s3+http://bucket.${NAMESPACE}.svc:8080/kept/prompts?region=eu-central-1`;
  const fromSecret = [
    ['TALLYGATE_CONTENT_S3_KEY_ID', 'id'],
    ['TALLYGATE_CONTENT_S3_SECRET_KEY', 'secret'],
  ].flatMap(([name, key], at) => [
    `sidecar.env[${at + 1}].name=${name}`,
    `sidecar.env[${at + 1}].valueFrom.secretKeyRef.name=${BUCKET_KEY.name}`,
    `sidecar.env[${at + 1}].valueFrom.secretKeyRef.key=${key}`,
  ]);
  return ['sidecar.env[0].name=TALLYGATE_CONTENT_EXPORT', `sidecar.env[0].value=${url}`, ...fromSecret];
}

let world: ClusterWorld;
let webhook: Reached;
let bucket: Reached;

before(async () => {
  // Without TLS, which the operator has to allow.
  await apply([bucketKey]);
  await install({ values: [`controller.allowedDestinations={${HOST}}`, ...bucketValues()] });
  world = await startClusterWorld(NAMESPACE, [secret(SECRETS[0]), policy, content, unsent]);
  [webhook, bucket] = await Promise.all([
    startProgram(NAMESPACE, 'guard', 'e2e/cluster/support/webhook-main.ts'),
    startProgram(NAMESPACE, 'bucket', 'e2e/cluster/support/bucket-main.ts'),
  ]);
  await world.provider.setDefaults({ echo: true });
});
after(async () => {
  webhook?.close();
  bucket?.close();
  await world?.stop();
  await install();
  await kubectl('-n', BUCKET_KEY.namespace, 'delete', 'secret', BUCKET_KEY.name, '--ignore-not-found');
});

async function ask(text: string, stream = false): Promise<{ readonly status: number; readonly body: string }> {
  const response = await fetch(`${world.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-4o-mini', stream, messages: [{ role: 'user', content: text }] }),
    signal: AbortSignal.timeout(15_000),
  });
  return { status: response.status, body: await response.text() };
}

interface Choice {
  readonly message?: { readonly content: string };
  readonly delta?: { readonly content?: string };
  readonly finish_reason: string | null;
}

/** Returns the text of a whole answer or of a stream, and why it ended. */
function answerIn(body: string): { readonly text: string; readonly reasons: readonly string[] } {
  const documents = body.startsWith('{') ? [body] : [...body.matchAll(/^data: (\{.*\})$/gm)].map(([, data]) => data!);
  const choices = documents.flatMap((each): readonly Choice[] => JSON.parse(each).choices);
  return {
    text: choices.map(({ message, delta }) => message?.content ?? delta?.content ?? '').join(''),
    reasons: choices.flatMap(({ finish_reason: reason }) => reason ?? []),
  };
}

/** Returns the requests that the webhook got since the last call. */
async function webhookCalls() {
  const response = await fetch(webhook.url, { method: 'DELETE', signal: AbortSignal.timeout(10_000) });
  return (await response.json()) as { readonly headers: Record<string, string>; readonly body: string }[];
}

for (const stream of [false, true]) {
  const what = stream ? 'a stream' : 'a whole answer';

  it(`what the gateway and the webhook find is masked, and restored where asked: ${what}`, async () => {
    await world.provider.forget();
    const { status, body } = await ask('Write to Ada, jane.doe@example.com.', stream);
    assert.equal(status, 200, body);
    const [{ body: prompt = '' } = {}] = await world.provider.seen();
    assert.match(prompt, /"Write to <PERSON-1>, <Email-1>\."/);
    assert.equal(answerIn(body).text, 'Write to <PERSON-1>, jane.doe@example.com.');
  });

  it(`a rule and the webhook block: ${what}`, async () => {
    const ended = await ask('Well, project falcon begins in May.', stream);
    assert.deepEqual([ended.status, answerIn(ended.body).reasons], [200, ['content_filter']], ended.body);
    assert.equal(ended.body.includes('falcon'), false);
    await world.provider.forget();
    const refused = await ask('This is forbidden.', stream);
    assert.deepEqual([refused.status, JSON.parse(refused.body).error.code], [400, 'content_blocked']);
    assert.match(refused.body, /The webhook forbids this\./);
    assert.deepEqual(await world.provider.seen(), []);
  });
}

it('the content of an exchange is stored in the bucket, masked, with the access key of a Secret', async () => {
  await ask('Write to jane.doe@example.com: kept-words.');
  const stored = await waitFor(
    'object with the content',
    async () => {
      const response = await fetch(bucket.url, { signal: AbortSignal.timeout(10_000) });
      const objects = (await response.json()) as Readonly<Record<'path' | 'authorization' | 'body', string>>[];
      return objects.find(({ body }) => body.includes('kept-words'));
    },
    EFFECT_MS,
  );
  assert.match(stored.path, /^\/kept\/prompts\/\d{4}\/\d\d\/\d\d\/\d\d\/\S+\.jsonl/);
  assert.ok(stored.authorization.includes(`Credential=${KEY_ID}/`), stored.authorization);
  assert.match(stored.body, /Write to <Email-1>: kept-words\./);
  assert.equal(stored.body.includes('jane'), false);
});

it('requests to the webhook are signed, and a changed Secret takes effect', async () => {
  const verifies = (
    { body, headers }: { readonly body: string; readonly headers: Record<string, string> },
    by: string,
  ) => {
    try {
      new Webhook(by).verify(body, headers);
      return true;
    } catch {
      return false;
    }
  };
  const calls = await webhookCalls();
  assert.ok(calls.length >= 4);
  assert.ok(calls.every((each) => verifies(each, SECRETS[0])));
  await apply([secret(SECRETS[1])]);
  await waitFor(
    'request with the new secret',
    async () => {
      assert.equal((await ask('Hello')).status, 200);
      return (await webhookCalls()).every((each) => verifies(each, SECRETS[1]));
    },
    EFFECT_MS,
  );
});

it('the status says that the policy is in force on all proxies', async () => {
  const object = ['-n', NAMESPACE, 'aiguardrailpolicy/company'];
  const status = (type: string) => `jsonpath={.status.ancestors[0].conditions[?(@.type=="${type}")].status}=True`;
  for (const type of ['Accepted', 'ResolvedRefs', 'Programmed', 'Enforcing']) {
    await waitUntil(status(type), object, 30_000);
  }
});

it('the status of a content policy says whether the proxies have its destination', async () => {
  const enforcing = '.status.ancestors[0].conditions[?(@.type=="Enforcing")]';
  await waitUntil(`jsonpath={${enforcing}.status}=True`, ['-n', NAMESPACE, 'aicontentpolicy/kept'], 30_000);
  const object = ['-n', NAMESPACE, 'aicontentpolicy/unsent'];
  await waitUntil(`jsonpath={${enforcing}.reason}=DestinationNotConfigured`, object, 30_000);
});

it('a policy whose Secret is gone lets nothing pass, and says why, until there is one again', async () => {
  await kubectl('-n', NAMESPACE, 'delete', 'secret', 'guard');
  await waitFor('closed route', async () => (await ask('Hello')).status !== 200, EFFECT_MS);
  await waitFor(
    'reason in the status',
    async () => {
      const { status } = await get('-n', NAMESPACE, 'aiguardrailpolicy', 'company');
      const conditions: readonly Record<string, string>[] = status.ancestors[0].conditions;
      const { reason, message } = conditions.find(({ type }) => type === 'ResolvedRefs')!;
      return reason === 'SecretNotFound' && message?.includes(`Secret ${NAMESPACE}/guard does not exist`);
    },
    EFFECT_MS,
  );
  await apply([secret(SECRETS[0])]);
  await waitFor('open route', async () => (await ask('Hello')).status === 200, EFFECT_MS);
});
