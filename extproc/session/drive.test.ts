import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import type { GatewayPolicy } from '../../contract/policy.ts';
import { OpenCallers } from '../access/open-callers.ts';
import { TokenVerifier } from '../access/token-verifier.ts';
import type { Exchange } from '../exchange.ts';
import { compilePolicy } from '../policy/compile.ts';
import { openQuotaStore } from '../quota/open.ts';
import { counts } from '../quota/testing.ts';
import type { RequestRecord } from '../record.ts';
import { loadEncodings } from '../tokens/encodings.ts';
import { newMeter } from '../tokens/meter.ts';
import { Bodies } from './bodies.ts';
import { newCountQueue } from './counting.ts';
import { drive } from './drive.ts';
import { FirstTokenTimes } from './first-token-times.ts';
import { Interruptions } from './interruptions.ts';
import { OpenAttempts } from './open-attempts.ts';
import { OutputEstimator } from './output-estimates.ts';
import { PassiveHealth } from './passive-health.ts';

await loadEncodings();
const base = parse(readFileSync(new URL('testdata/base.yaml', import.meta.url), 'utf8')) as GatewayPolicy;
const BODY = Buffer.from('{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}');
const HEADERS = [
  [':method', 'POST'],
  [':path', '/v1/chat/completions'],
  ['x-team', 'red'],
] as const;

/** A complete request that is queued until it is started. */
function waiting() {
  const { store } = openQuotaStore({ nowMs: () => 0 });
  const said: string[] = [];
  const records: RequestRecord[] = [];
  let start = () => {};
  const say = (name: string) => () => void said.push(name);
  let answer = '';
  const exchange: Exchange = {
    traceParent: undefined,
    requestHeaders: say('request-headers'),
    requestBody: say('request-body'),
    releaseRequestBody: () => {},
    requestTrailers: say('request-trailers'),
    responseHeaders: say('response-headers'),
    responseBody: (bytes) => {
      said.push('response-body');
      answer += Buffer.from(bytes);
    },
    responseTrailers: say('response-trailers'),
    immediateResponse: say('immediate-response'),
    handOver: () => {},
    startRequest: (work) => {
      start = work;
    },
    inSlices: () => {},
    end: say('end'),
    abort: say('abort'),
    pause: say('pause'),
    resume: say('resume'),
    unsentBytes: 0,
  };
  const policy = compilePolicy({ ...base, formatVersion: 6, version: 'test' });
  const handler = drive(exchange, {
    policy: () => policy,
    openCallers: new OpenCallers(),
    verifier: new TokenVerifier({ nowMs: () => 0, requestKeys: () => {} }),
    store,
    estimates: new OutputEstimator(),
    health: new PassiveHealth(),
    firstTokenTimes: new FirstTokenTimes(),
    broken: new Interruptions(() => 1),
    counts: newCountQueue(),
    compares: () => false,
    newMeter,
    newId: () => 'id',
    traces: undefined,
    random: () => 0,
    now: () => 1,
    finished: (record) => records.push(record),
    fault: (error) => {
      throw error;
    },
    bodies: new Bodies(),
    openAttempts: new OpenAttempts('epoch'),
    analyze: async () => ({ action: 'allow', findings: [] }),
    isJudge: () => false,
    plainErrors: false,
  })!;
  handler.requestHeaders(HEADERS, false, new Map([['xds.route_name', 'entry']]));
  handler.requestBody(BODY, true);
  return { handler, store, said, records, start: () => start(), answer: () => answer };
}

test('a queued request goes upstream once it is started', () => {
  const { said, start, store } = waiting();
  assert.deepEqual(said, []);
  assert.equal(counts(store).openHolds, 0);
  start();
  assert.deepEqual(said, ['request-headers', 'request-body']);
  assert.equal(counts(store).openHolds, 1);
});

test('a client that leaves while its request is queued holds and costs nothing', () => {
  const { handler, said, records, store } = waiting();
  handler.closed(false);
  assert.deepEqual(said, ['end']);
  assert.equal(counts(store).openHolds, 0);
  assert.equal(records.length, 1);
  assert.equal(records[0]!.clientLeft, true);
  assert.equal(records[0]!.usage, undefined);
});

test('a local reply to a queued request passes once the request is started, after its headers and body', () => {
  const { handler, said, start, store, answer } = waiting();
  handler.responseHeaders([[':status', '504']], false, new Map());
  const body = Buffer.from('late');
  handler.responseBody(body, true);
  // The transport reuses the buffer.
  body.fill(0xdb);
  assert.deepEqual(said, []);
  start();
  assert.equal(answer(), 'late');
  assert.deepEqual(said, ['request-headers', 'request-body', 'response-headers', 'response-body', 'end']);
  assert.equal(counts(store).openHolds, 0);
});
