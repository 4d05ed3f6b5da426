/**
 * From `helm install` to the first counted completion with the official clients; then keys, quotas
 * and cuts, as in standalone mode.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { anthropicClient, CLIENT_KEY, errorOf, mock, openaiClient, say } from '../data-plane/support/clients.ts';
import { quotaPolicy, teamQuota } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { wordCount, wordsOf } from '../data-plane/support/words.ts';
import { install } from './support/helm.ts';
import { condition, kubectl, waitUntil } from './support/kubectl.ts';
import { startProgram } from './support/program.ts';
import { proxyPods, type Reached } from './support/reach.ts';
import { recordsOf as recordsAt } from './support/records.ts';
import { type ClusterWorld, keyOf, startClusterWorld } from './support/world.ts';

const NAMESPACE = 'tge-first';
const MODEL = 'gpt-4o-mini';
const CLAUDE = 'claude-mock-1';
const LIMIT = 150;
/** `sidecar.env` of the chart. */
const TELEMETRY = {
  OTEL_EXPORTER_OTLP_ENDPOINT: `http://collector.${NAMESPACE}.svc:8080`,
  OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
  OTEL_SERVICE_NAME: 'sidecars-of-the-test',
};
const endless = { tokens: 5_000, paceMs: 5 };

let world: ClusterWorld;
let collector: Reached;
before(async () => {
  const startedAtMs = performance.now();
  const seconds = () => ((performance.now() - startedAtMs) / 1000).toFixed(1);
  const values = Object.entries(TELEMETRY).flatMap(([name, value], i) => [
    `sidecar.env[${i}].name=${name}`,
    `sidecar.env[${i}].value=${value}`,
  ]);
  await install({ values });
  console.log(`controller available after ${seconds()} s`);
  world = await startClusterWorld(NAMESPACE, [
    quotaPolicy('teams', 'chat', [teamQuota('tokens', 'TotalTokens', LIMIT, { onMissingKey: 'Shared' })]),
  ]);
  console.log(`route enforced after ${seconds()} s`);
  collector = await startProgram(NAMESPACE, 'collector', 'e2e/cluster/support/collector-main.ts');
});
after(async () => {
  collector?.close();
  await world?.stop();
});

const openai = (team: string) => openaiClient(world.url, { 'x-team': team });
const anthropic = (team: string) => anthropicClient(world.url, { 'x-team': team });

const recordsOf = (team: string, count = 1) => recordsAt(NAMESPACE, team, count);

async function lastSeen() {
  const seen = (await world.provider.seen()).at(-1);
  assert.ok(seen, 'the provider saw no request');
  return seen;
}

describe('the first completion', () => {
  it('is counted for OpenAI', async () => {
    const answer = await openai('plain').chat.completions.create(
      { model: MODEL, messages: say('Hello'), max_completion_tokens: 50 },
      mock({ tokens: 12 }),
    );
    assert.equal(answer.choices[0]?.message.content, wordsOf(12));
    const [record] = await recordsOf('plain', 1);
    assert.equal(record?.status, 200);
    assert.equal(record?.outputTokens, 12);
    assert.equal(record?.inputTokens, answer.usage?.prompt_tokens);
    assert.equal(record?.source, 'provider');
  });

  it('is counted for OpenAI as a stream', async () => {
    const final = await openai('stream')
      .chat.completions.stream({ model: MODEL, messages: say('Hello') }, mock({ tokens: 30, paceMs: 1 }))
      .finalChatCompletion();
    assert.equal(final.choices[0]?.message.content, wordsOf(30));
    assert.equal((await recordsOf('stream', 1))[0]?.outputTokens, 30);
  });

  it('is counted for Anthropic', async () => {
    const request = { model: CLAUDE, max_tokens: 50, messages: say('Hello') };
    const answer = await anthropic('claude').messages.create(request, mock({ tokens: 12 }));
    assert.equal(answer.content[0]?.type === 'text' && answer.content[0].text, wordsOf(12));
    const streamed = await anthropic('claude')
      .messages.stream(request, mock({ tokens: 20, paceMs: 1 }))
      .finalMessage();
    assert.equal(streamed.content[0]?.type === 'text' && streamed.content[0].text, wordsOf(20));
    const [first, second] = await recordsOf('claude', 2);
    assert.deepEqual([first?.outputTokens, second?.outputTokens], [12, 20]);
  });
});

describe('keys', () => {
  it('each provider receives only its own key, and no header of the gateway', async () => {
    const forged = { 'x-tallygate-route': 'default/other/0', 'x-api-key': 'forged', cookie: 'session=1' };
    const request = { model: MODEL, messages: say('Hello'), max_completion_tokens: 9 };
    await openai('keys').chat.completions.create(request, mock({ tokens: 3 }, forged));
    const toOpenai = (await lastSeen()).headers;
    assert.equal(toOpenai['authorization'], `Bearer ${keyOf('openai')}`);
    await anthropic('keys').messages.create(
      { model: CLAUDE, max_tokens: 9, messages: say('Hello') },
      mock({ tokens: 3 }, { ...forged, authorization: 'Bearer forged' }),
    );
    const toAnthropic = (await lastSeen()).headers;
    assert.equal(toAnthropic['x-api-key'], keyOf('anthropic'));
    assert.equal(toAnthropic['authorization'], undefined);
    for (const headers of [toOpenai, toAnthropic]) {
      const text = JSON.stringify(headers);
      assert.ok(!text.includes(CLIENT_KEY) && !text.includes('forged') && !text.includes('session=1'), text);
      assert.deepEqual(
        Object.keys(headers).filter((name) => name.startsWith('x-tallygate-')),
        [],
      );
    }
  });

  it('neither side learns accounts and addresses of the other', async () => {
    const told =
      'openai-organization openai-project x-goog-user-project ocp-apim-subscription-key x-amz-security-token';
    const hidden = `${told} x-forwarded-for x-forwarded-client-cert x-real-ip true-client-ip via`.split(' ');
    const answered =
      'openai-organization openai-project set-cookie server x-tallygate-debug x-ratelimit-limit-project-tokens'.split(
        ' ',
      );
    const { data, response } = await openai('headers')
      .chat.completions.create(
        { model: MODEL, messages: say('Hello'), max_completion_tokens: 9 },
        mock(
          { tokens: 3, headers: Object.fromEntries([...answered, 'request-id'].map((name) => [name, 'provider'])) },
          Object.fromEntries([...hidden, 'openai-beta'].map((name) => [name, 'client'])),
        ),
      )
      .withResponse();
    assert.ok(data.choices.length > 0);
    const { headers } = await lastSeen();
    assert.deepEqual(
      hidden.filter((name) => headers[name] !== undefined),
      [],
    );
    assert.equal(headers['openai-beta'], 'client');
    assert.deepEqual(
      answered.filter((name) => response.headers.get(name)?.includes('provider')),
      [],
    );
    assert.equal(response.headers.get('request-id'), 'provider');
  });

  it('the sidecar has no key', async () => {
    const [pod] = await proxyPods(NAMESPACE, 'ai');
    const script =
      "const fs=require('fs');let s='';for(const f of fs.readdirSync('/run/tallygate'))try{s+=fs.readFileSync('/run/tallygate/'+f,'latin1')}catch{};process.stdout.write(s+JSON.stringify(process.env))";
    const node = ['/usr/local/bin/node', '-e', script];
    const kept = await kubectl(
      '-n',
      pod.metadata.namespace,
      'exec',
      pod.metadata.name,
      '-c',
      'tallygate',
      '--',
      ...node,
    );
    assert.ok(!kept.includes(keyOf('')));
  });
});

describe('quotas', () => {
  it('a stream is cut at the end of the budget, its upstream is closed, and the next request is refused', async () => {
    const final = await openai('cut')
      .chat.completions.stream(
        { model: MODEL, messages: say('Hello'), stream_options: { include_usage: true } },
        mock(endless),
      )
      .finalChatCompletion();
    const delivered = wordCount(final.choices[0]?.message.content ?? '');
    assert.equal(final.choices[0]?.finish_reason, 'length');
    assert.equal(final.usage?.completion_tokens, delivered);
    const [record] = await recordsOf('cut', 1);
    assert.equal(record?.decision, 'cut');
    assert.equal(record?.outputTokens, delivered);
    const spent = (record?.inputTokens ?? 0) + delivered;
    assert.ok(spent <= LIMIT && spent >= LIMIT / 2, `${spent} of ${LIMIT}`);
    await waitFor('closed upstream', async () => (await world.provider.openCount()) === 0, 5_000);
    const refused = await errorOf(
      openai('cut').chat.completions.create({ model: MODEL, messages: say('Hello') }, mock({ tokens: 500 })),
    );
    assert.ok(refused instanceof OpenAI.RateLimitError, String(refused));
    assert.equal(refused.code, 'quota_exceeded');
  });

  it('a stream of Anthropic is cut at the end of the budget', async () => {
    const final = await anthropic('cut-claude')
      .messages.stream({ model: CLAUDE, max_tokens: 1000, messages: say('Hello') }, mock(endless))
      .finalMessage();
    assert.equal(final.stop_reason, 'max_tokens');
    const [record] = await recordsOf('cut-claude', 1);
    assert.equal(record?.decision, 'cut');
    const request = { model: CLAUDE, max_tokens: 1000, messages: say('Hello') };
    const refused = await errorOf(anthropic('cut-claude').messages.create(request, mock({ tokens: 500 })));
    assert.ok(refused instanceof Anthropic.RateLimitError, String(refused));
  });

  it('the status of the policy is Enforcing', async () => {
    await waitUntil(condition('ancestors', 'Enforcing', 'True'), ['-n', NAMESPACE, 'aiquotapolicy/teams']);
  });

  it('the sidecar’s metrics count the tokens', async () => {
    const [pod] = await proxyPods(NAMESPACE, 'ai');
    const { namespace, name } = pod.metadata;
    const text = await kubectl('get', '--raw', `/api/v1/namespaces/${namespace}/pods/${name}:9464/proxy/metrics`);
    assert.match(text, /^tallygate_\w+\{.*\} [1-9]/m);
  });
});

it('spans of sidecars continue the trace of the client, and the provider continues that of its attempt', async () => {
  const [traceId, clientSpan] = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'];
  await openai('traced').chat.completions.create(
    { model: MODEL, messages: say('Hello'), max_completion_tokens: 9 },
    mock({ tokens: 3 }, { traceparent: `00-${traceId}-${clientSpan}-01` }),
  );
  const [request, attempt] = await waitFor(
    'spans',
    async () => {
      const response = await fetch(collector.url, { signal: AbortSignal.timeout(10_000) });
      const spans = (await response.json()) as readonly Readonly<Record<string, string>>[];
      const ours = spans.filter((span) => span['traceId'] === traceId);
      const first = ours.find((span) => span['parentSpanId'] === clientSpan);
      const second = ours.find(
        (span) => span['parentSpanId'] === first?.['spanId'] && span['name'] === `chat ${MODEL}`,
      );
      return first && second && ([first, second] as const);
    },
    10_000,
  );
  assert.equal(request['service'], TELEMETRY.OTEL_SERVICE_NAME);
  assert.equal((await lastSeen()).headers['traceparent'], `00-${traceId}-${attempt['spanId']}-01`);
});

it('an unknown model is refused in the format of the client’s API', async () => {
  const refused = await errorOf(openai('none').chat.completions.create({ model: 'nothing', messages: say('Hello') }));
  assert.ok(refused instanceof OpenAI.NotFoundError, String(refused));
  assert.equal(refused.code, 'model_not_found');
});
