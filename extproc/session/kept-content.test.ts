/** Which requests have content kept, and of which answer, through whole sessions. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { ContentPolicy } from '../../contract/content.ts';
import { ATTEMPT_ID_ATTRIBUTE, CLUSTER_ATTRIBUTE, REQUEST_METADATA } from '../../contract/headers.ts';
import type { Failover, GatewayPolicy, Rule } from '../../contract/policy.ts';
import { indexingApiKeys } from '../access/api-keys.ts';
import { accessPolicy, apiKey, bearer, keyAuthenticator, shardsOf } from '../access/testing.ts';
import type { ExchangeHandler, HeaderList, MetadataStruct } from '../exchange.ts';
import { atOnce } from '../policy/slices.ts';
import type { RequestRecord } from '../record.ts';
import { loadEncodings } from '../tokens/encodings.ts';
import { liveRequest } from './drive.ts';
import { basePolicy, CHAT_HEADERS, ENTRY, newExchange, newRig } from './testing.ts';

before(() => loadEncodings());

const policy: ContentPolicy = {
  name: 'default/reviews',
  content: ['Prompt', 'Response'],
  destinations: ['S3'],
  maxBytes: 16 * 1024,
  samplingPercent: 100,
  redact: [],
  notifyHeader: true,
  exempt: [],
};

const REQUEST = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hello' }] };
const access = accessPolicy([keyAuthenticator], { revokeStreams: true });

/** Opens a request whose content a policy keeps. */
function open(content: Partial<ContentPolicy> = {}, more: Partial<GatewayPolicy> = {}, rule: Partial<Rule> = {}) {
  const [host] = basePolicy.virtualHosts;
  const rules = host!.rules.map((each) => ({ ...each, content: [policy.name], ...rule }));
  const rig = newRig({
    policy: { contentPolicies: [{ ...policy, ...content }], virtualHosts: [{ ...host!, rules }], ...more },
  });
  let requestId = '';
  const handler = rig.open({
    ...newExchange(),
    requestHeaders: ({ metadata }) => {
      requestId = String((metadata?.[REQUEST_METADATA] as MetadataStruct | undefined)?.['id']);
    },
  });
  return { rig, handler, requestId: () => requestId };
}

function ask(handler: ExchangeHandler, stream: boolean, headers: HeaderList = []): void {
  handler.requestHeaders([...CHAT_HEADERS, ...headers], false, ENTRY);
  handler.requestBody(Buffer.from(JSON.stringify({ ...REQUEST, stream })), true);
}

function begin(handler: ExchangeHandler, type: string): void {
  const head: HeaderList = [
    [':status', '200'],
    ['content-type', type],
  ];
  handler.responseHeaders(head, false, new Map());
}

const delta = (content: string) =>
  Buffer.from(`data: {"model":"m","choices":[{"index":0,"delta":{"content":"${content}"}}]}\n\n`);

/** Returns the prompt and the answer that each record keeps. */
const kept = (records: readonly RequestRecord[]) =>
  records.map(({ content }) => {
    const [one] = content?.redact() ?? [];
    return one && [one.prompt, one.response].map((part) => part?.texts.map(({ text }) => text).join('|'));
  });

test('a request with several attempts has one record, with the answer that the client gets', () => {
  const [{ targets } = assert.fail()] = basePolicy.virtualHosts[0]!.rules;
  const failover: Failover = {
    on: ['5xx'],
    attempts: 2,
    cooldownMs: 1000,
    withinRequest: { route: 'small', targets: ['small/openai', 'small/other'].map((id) => ({ id })) },
  };
  const { rig, handler, requestId } = open(
    {},
    {},
    {
      targets: [targets[0]!, { ...targets[0]!, id: 'small/other', priority: 1 }],
      failover,
    },
  );
  ask(handler, false);
  for (const status of ['500', '200']) {
    let attempt: ExchangeHandler | undefined;
    const exchange = {
      ...newExchange(),
      handOver: (next: ExchangeHandler) => {
        attempt = next;
      },
    };
    const attributes = new Map([
      [ATTEMPT_ID_ATTRIBUTE, requestId()],
      [CLUSTER_ATTRIBUTE, 'attempt/default/openai'],
    ]);
    assert.ok(rig.shared.openAttempts.take(exchange, attributes));
    attempt!.responseHeaders([[':status', status]], false, new Map());
  }
  begin(handler, 'application/json');
  handler.responseBody(Buffer.from('{"model":"m","choices":[{"message":{"content":"Hi"}}]}'), true);
  assert.deepEqual(
    rig.records.map(({ attempts }) => attempts?.map(({ status }) => status)),
    [[500, 200]],
  );
  assert.deepEqual(kept(rig.records), [['Hello', 'Hi']]);
});

test('of a stream whose client leaves, what the client got is kept', () => {
  const { rig, handler } = open();
  ask(handler, true);
  begin(handler, 'text/event-stream');
  handler.responseBody(delta('Once upon'), false);
  handler.closed(false);
  assert.equal(rig.records[0]?.clientLeft, true);
  assert.deepEqual(kept(rig.records), [['Hello', 'Once upon']]);
});

test('of a stream that an operator stops, what came before is kept', () => {
  const { rig, handler } = open();
  ask(handler, true);
  begin(handler, 'text/event-stream');
  handler.responseBody(delta('Once upon'), false);
  assert.ok(liveRequest(handler)!.stop('ada'));
  handler.responseBody(delta(' a time'), false);
  assert.deepEqual(kept(rig.records), [['Hello', 'Once upon']]);
});

function withKeys(content: Partial<ContentPolicy>) {
  const apiKeyShards = shardsOf([apiKey('tg-one', { groups: ['council'] }), apiKey('tg-two', { groups: [] })]);
  const [host] = basePolicy.virtualHosts;
  const rules = host!.rules.map((each) => ({ ...each, access: [access.name], content: [policy.name] }));
  return open(content, {
    accessPolicies: [access],
    apiKeyShards,
    virtualHosts: [{ ...host!, access: [access.name], rules }],
  });
}

test('of a stream whose key is revoked, what came before is kept', () => {
  const { rig, handler } = withKeys({});
  ask(handler, true, bearer('tg-one'));
  begin(handler, 'text/event-stream');
  handler.responseBody(delta('Once upon'), false);
  for (const stream of rig.shared.openCallers.revokedBy(atOnce(indexingApiKeys([])), 0)) {
    stream.revoke();
  }
  handler.responseBody(delta(' a time'), false);
  assert.equal(rig.records[0]?.failure?.code, 'unauthenticated');
  assert.deepEqual(kept(rig.records), [['Hello', 'Once upon']]);
});

test('content of exempt callers is not kept, and that of others is', () => {
  for (const [key, answer] of [
    ['tg-one', undefined],
    ['tg-two', ['Hello', 'Hi']],
  ] as const) {
    const { rig, handler } = withKeys({ exempt: [{ group: 'council' }] });
    ask(handler, false, bearer(key));
    begin(handler, 'application/json');
    handler.responseBody(Buffer.from('{"model":"m","choices":[{"message":{"content":"Hi"}}]}'), true);
    assert.deepEqual(kept(rig.records), [answer], key);
  }
});

test('nothing of a request is kept that the gateway refuses', () => {
  const unknown = withKeys({});
  ask(unknown.handler, false, bearer('tg-three'));
  const [quota] = basePolicy.quotas;
  const spent = open({}, { quotas: [{ ...quota!, limit: { type: 'TotalTokens', amount: 1 } }] });
  ask(spent.handler, false);
  for (const [{ rig }, code] of [
    [unknown, 'unauthenticated'],
    [spent, 'quota_exceeded'],
  ] as const) {
    assert.deepEqual([rig.records[0]?.failure?.code, kept(rig.records)], [code, [undefined]]);
  }
});
