import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccessPolicy } from '../../contract/access-policy.ts';
import { fuzz } from '../../tools/fuzz/cases.ts';
import { indexingApiKeys } from '../access/api-keys.ts';
import {
  accessPolicy,
  apiKey,
  bearer,
  claimsWith,
  jwtAuthenticator,
  keyAuthenticator,
  NOW,
  newSigningKey,
  shardsOf,
  signedToken,
} from '../access/testing.ts';
import { TokenVerifier } from '../access/token-verifier.ts';
import type { ExchangeHandler, HeaderList } from '../exchange.ts';
import { atOnce } from '../policy/slices.ts';
import { loadEncodings } from '../tokens/encodings.ts';
import type { SessionServices } from './services.ts';
import { basePolicy, ENTRY, newExchange, newRig, type Rig } from './testing.ts';

await loadEncodings();

const BODY = Buffer.from('{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello there"}]}');
const CHAT: HeaderList = [
  [':method', 'POST'],
  [':path', '/v1/chat/completions'],
];
const UPLOAD: HeaderList = [
  [':method', 'POST'],
  [':path', '/v1/batches'],
];

const signing = await newSigningKey();
const token = await signedToken(signing);
const tokens = accessPolicy([jwtAuthenticator([signing.jwk])]);

interface AccessSession {
  readonly handler: ExchangeHandler;
  readonly rig: Rig;
  /** The calls of the exchange and the details of replies, so far. */
  readonly did: string[];
}

interface Places {
  readonly host?: readonly AccessPolicy[];
  readonly rule?: readonly AccessPolicy[];
}

function open({ host = [], rule = [] }: Places): AccessSession {
  const [virtualHost] = basePolicy.virtualHosts;
  const hostNames = host.map(({ name }) => name);
  const access = [...hostNames, ...rule.map(({ name }) => name)];
  const rig = newRig({
    policy: {
      virtualHosts: [
        {
          ...virtualHost!,
          access: hostNames,
          rules: virtualHost!.rules.map((each) => ({ ...each, quotas: [], access })),
          passthrough: virtualHost!.passthrough.map((each) => ({ ...each, quotas: [], access })),
        },
      ],
      accessPolicies: [...host, ...rule],
      apiKeyShards: shardsOf([apiKey('tg-one')]),
    },
    shared: () => ({
      now: () => NOW * 1000,
      verifier: new TokenVerifier({ nowMs: () => NOW * 1000, requestKeys: () => {} }),
    }),
  });
  const did: string[] = [];
  return { rig, did, handler: rig.open(newExchange((name) => did.push(name))) };
}

/** Waits until tokens are verified and their events are handled. */
async function settled(done: () => boolean): Promise<void> {
  const endMs = performance.now() + 10_000;
  while (!done()) {
    assert.ok(performance.now() < endMs, 'the tokens are verified');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('a request waits until its token is verified, and is then forwarded', async () => {
  const { handler, did, rig } = open({ host: [tokens] });
  handler.requestHeaders([...CHAT, ...bearer(token)], false, ENTRY);
  assert.deepEqual(did, ['pause']);
  handler.requestBody(BODY, true);
  assert.deepEqual(did, ['pause', 'resume']);
  await settled(() => did.includes('request-body'));
  assert.deepEqual(did.slice(2), ['request-headers', 'request-body']);
  handler.closed(true);
  assert.equal(rig.records[0]?.access?.caller?.tenant, 'search');
  assert.equal(rig.records[0]?.access?.method, 'jwt');
});

test('the credential of a Google client may be in the query, of no other client', async () => {
  for (const [path, details] of [
    [`/v1beta/models/gpt-4o-mini:generateContent?alt=json&key=${token}`, 'request-body'],
    [`/v1beta/models/gpt-4o-mini:generateContent?key=${token}&key=other`, 'request-body'],
    ['/v1beta/models/gpt-4o-mini:generateContent?key=wrong', 'tallygate_unauthenticated'],
    [`/v1/chat/completions?key=${token}`, 'tallygate_unauthenticated'],
  ] as const) {
    const { handler, did, rig } = open({ host: [tokens] });
    handler.requestHeaders(
      [
        [':method', 'POST'],
        [':path', path],
      ],
      false,
      ENTRY,
    );
    handler.requestBody(Buffer.from('{"contents":[{"parts":[{"text":"Hello"}]}]}'), true);
    await settled(() => did.includes('request-body') || rig.records.length > 0);
    assert.ok(did.includes(details), `${path}: ${did}`);
  }
  const both = open({ host: [tokens] });
  const path = '/v1beta/models/gpt-4o-mini:generateContent?key=other';
  both.handler.requestHeaders([[':method', 'POST'], [':path', path], ...bearer(token)], false, ENTRY);
  await settled(() => both.rig.records.length > 0);
  assert.ok(both.did.includes('tallygate_unauthenticated'));
});

test('an invalid token is refused before the body is read', async () => {
  const { handler, did, rig } = open({ host: [tokens] });
  const expired = await signedToken(signing, claimsWith({ exp: NOW - 100 }));
  handler.requestHeaders([...CHAT, ...bearer(expired)], false, ENTRY);
  await settled(() => rig.records.length > 0);
  assert.ok(did.includes('tallygate_unauthenticated'));
  assert.equal(rig.records[0]?.status, 401);
  assert.equal(rig.records[0]?.access?.decision, 'refused');
});

test('a client that leaves while its token is verified ends the request', async () => {
  const { handler, did, rig } = open({ host: [tokens] });
  handler.requestHeaders([...CHAT, ...bearer(token)], false, ENTRY);
  handler.closed(false);
  assert.equal(rig.records.length, 1);
  assert.equal(rig.records[0]?.clientLeft, true);
  const verified = open({ host: [tokens] });
  verified.handler.requestHeaders([...CHAT, ...bearer(token)], true, ENTRY);
  await settled(() => verified.rig.records.length > 0);
  assert.ok(!did.includes('request-headers'));
  assert.deepEqual(rig.faults, []);
});

test('a passthrough body is kept back until the token is verified', async () => {
  const { handler, did } = open({ host: [tokens] });
  handler.requestHeaders([...UPLOAD, ...bearer(token)], false, ENTRY);
  handler.requestBody(Buffer.from('one'), false);
  assert.deepEqual(did, ['pause']);
  await settled(() => did.includes('request-body'));
  handler.requestBody(Buffer.from('two'), true);
  assert.deepEqual(did.slice(1), ['request-headers', 'request-body', 'resume', 'request-body']);
});

test('a policy of a rule identifies the caller once the body has named the rule', async () => {
  for (const [headers, details] of [
    [bearer(token), 'request-headers'],
    [bearer('wrong'), 'tallygate_unauthenticated'],
    [[], 'tallygate_unauthenticated'],
  ] as const) {
    const { handler, did } = open({ rule: [tokens] });
    handler.requestHeaders([...CHAT, ...headers], false, ENTRY);
    assert.equal(did.length, 0);
    handler.requestBody(BODY, true);
    await settled(() => did.some((name) => name === 'request-headers' || name.startsWith('tallygate')));
    assert.ok(did.includes(details), `${did}`);
  }
});

test('a policy of a rule restricts the caller of the Gateway', () => {
  const gateway = accessPolicy([keyAuthenticator]);
  const team = (tenant: string) =>
    accessPolicy([], { name: 'default/team', allow: [{ name: 'team', principals: [{ tenant }] }] });
  for (const [tenant, details] of [
    ['search', 'request-headers'],
    ['ads', 'tallygate_forbidden'],
  ] as const) {
    for (const [headers, body] of [
      [CHAT, BODY],
      [UPLOAD, Buffer.from('bytes')],
    ] as const) {
      const { handler, did } = open({ host: [gateway], rule: [team(tenant)] });
      handler.requestHeaders([...headers, ...bearer('tg-one')], false, ENTRY);
      handler.requestBody(body, true);
      assert.ok(did.includes(details), `${tenant}: ${did}`);
    }
  }
});

test('a session of a browser pays only for requests that a page of another origin cannot forge', async () => {
  const cookies = accessPolicy([jwtAuthenticator([signing.jwk], { cookie: 'IdToken' })]);
  const cookie = ['cookie', `IdToken=${token}`] as const;
  for (const [type, details] of [
    ['application/json', 'request-headers'],
    ['text/plain', 'tallygate_forbidden'],
    ['multipart/form-data; boundary=x', 'tallygate_forbidden'],
  ] as const) {
    for (const places of [{ host: [cookies] }, { rule: [cookies] }]) {
      for (const [headers, body] of [
        [CHAT, BODY],
        [UPLOAD, Buffer.from('bytes')],
      ] as const) {
        const { handler, did } = open(places);
        handler.requestHeaders([...headers, cookie, ['content-type', type]], false, ENTRY);
        handler.requestBody(body, true);
        await settled(() => did.some((name) => name === 'request-headers' || name.startsWith('tallygate')));
        assert.ok(did.includes(details), `${type}: ${did}`);
      }
    }
  }
});

test('an unknown path needs a credential before the answer says whether it exists', () => {
  const { handler, did } = open({ host: [accessPolicy([keyAuthenticator])] });
  handler.requestHeaders(
    [
      [':method', 'GET'],
      [':path', '/v1/secret'],
    ],
    true,
    ENTRY,
  );
  assert.deepEqual(did, ['tallygate_unauthenticated']);
});

const revoking = accessPolicy([keyAuthenticator], { revokeStreams: true });
const noKeys = atOnce(indexingApiKeys([]));
const STREAM = Buffer.from('{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}');
const EVENT = Buffer.from('data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n');

/** Ends the streams of keys that the newest policy does not have. */
function revokeAll({ openCallers }: SessionServices): number {
  const streams = openCallers.revokedBy(noKeys, NOW * 1000);
  for (const stream of streams) {
    stream.revoke();
  }
  return streams.size;
}

test('a stream ends with an error when the key of its caller is removed', () => {
  const { handler, did, rig } = open({ host: [revoking] });
  handler.requestHeaders([...CHAT, ...bearer('tg-one')], false, ENTRY);
  handler.requestBody(STREAM, true);
  handler.responseHeaders(
    [
      [':status', '200'],
      ['content-type', 'text/event-stream'],
    ],
    false,
    new Map(),
  );
  handler.responseBody(EVENT, false);
  assert.equal(revokeAll(rig.shared), 1);
  assert.deepEqual(did.slice(-2), ['response-body', 'end']);
  assert.equal(rig.records[0]?.failure?.code, 'unauthenticated');
  assert.equal(revokeAll(rig.shared), 0);
});

test('a request that waits for its backend is refused when the key of its caller is removed', () => {
  const { handler, did, rig } = open({ host: [revoking] });
  handler.requestHeaders([...CHAT, ...bearer('tg-one')], false, ENTRY);
  handler.requestBody(BODY, true);
  assert.equal(revokeAll(rig.shared), 1);
  assert.equal(did.at(-1), 'tallygate_unauthenticated');
});

test('a passthrough response is broken off when the key of its caller is removed', () => {
  const { handler, did, rig } = open({ host: [revoking] });
  handler.requestHeaders([...UPLOAD, ...bearer('tg-one')], true, ENTRY);
  handler.responseHeaders([[':status', '200']], false, new Map());
  handler.responseBody(Buffer.from('one'), false);
  assert.equal(revokeAll(rig.shared), 1);
  assert.deepEqual(did.slice(-2), ['abort', 'end']);
  assert.equal(rig.records[0]?.failure?.code, 'unauthenticated');
});

test('a request whose body ends after the key was removed is not forwarded', () => {
  for (const policy of [revoking, accessPolicy([keyAuthenticator])]) {
    const { handler, did, rig } = open({ host: [policy] });
    handler.requestHeaders([...CHAT, ...bearer('tg-one')], false, ENTRY);
    rig.use({ ...rig.shared.policy()!, apiKeys: noKeys });
    handler.requestBody(BODY, true);
    assert.deepEqual(did, ['tallygate_unauthenticated']);
  }
});

test('streams go on where no policy ends them', () => {
  const { handler, rig } = open({ host: [accessPolicy([keyAuthenticator])] });
  handler.requestHeaders([...CHAT, ...bearer('tg-one')], false, ENTRY);
  handler.requestBody(STREAM, true);
  assert.equal(revokeAll(rig.shared), 0);
});

test('whatever the order of events, only a valid credential passes, and each request has one record', async () => {
  const good = [bearer(token), [['x-api-key', token]], [['x-api-key', 'tg-one']]] as const;
  const bad = [
    bearer(`${token.slice(0, -9)}AAAAAAAAA`),
    bearer('tg-two'),
    [],
    [...bearer(token), ['api-key', 'x']],
  ] as const;
  const either = accessPolicy([keyAuthenticator, jwtAuthenticator([signing.jwk])], { revokeStreams: true });
  const restricting = accessPolicy([], { name: 'default/inner', allow: either.allow });
  await fuzz(200, async (random) => {
    const places = [{ host: [either] }, { rule: [either] }, { host: [either], rule: [restricting] }] as const;
    const { handler, rig, did } = open(random.pick<Places>(places));
    const isGood = random.next() < 0.5;
    const credentials: readonly HeaderList[] = isGood ? good : bad;
    const [path, body] = random.next() < 0.5 ? [CHAT, BODY] : [UPLOAD, Buffer.from('some bytes')];
    handler.requestHeaders([...path, ...random.pick(credentials)], false, ENTRY);
    const leavesAt = random.between(0, 7);
    const pieces = random.between(1, 3);
    for (let piece = 0; piece < pieces && piece < leavesAt; piece++) {
      if (random.next() < 0.5) {
        await new Promise((resolve) => setTimeout(resolve, random.between(0, 1)));
      }
      const [from, to] = [piece, piece + 1].map((each) => Math.floor((each * body.length) / pieces));
      handler.requestBody(body.subarray(from, to), piece === pieces - 1);
    }
    if (leavesAt > pieces) {
      await settled(() => did.includes('request-headers') || rig.records.length > 0);
      assert.equal(did.includes('request-headers'), isGood, `${did}`);
    }
    handler.closed(false);
    await new Promise((resolve) => setTimeout(resolve, 1));
    assert.equal(rig.records.length, 1);
    assert.equal(revokeAll(rig.shared), 0);
    assert.deepEqual(rig.faults, []);
    assert.ok(isGood || !did.includes('request-headers'), `${did}`);
  });
});
