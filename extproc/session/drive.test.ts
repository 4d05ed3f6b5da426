import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import type { GatewayPolicy } from '../../contract/policy.ts';
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
import { Interruptions } from './interruptions.ts';
import { newOutlierDetection } from './outlier-detection.ts';
import { OutputEstimator } from './output-estimates.ts';

await loadEncodings();
const base = parse(readFileSync(new URL('testdata/base.yaml', import.meta.url), 'utf8')) as GatewayPolicy;
const BODY = Buffer.from('{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}');
const HEADERS = [
  [':method', 'POST'],
  [':path', '/v1/chat/completions'],
  ['x-team', 'red'],
] as const;

/** A request up to its end, which waits to be let in. */
function waiting() {
  const { store } = openQuotaStore({ nowMs: () => 0 });
  const said: string[] = [];
  const outcomes: RequestRecord[] = [];
  let letIn = () => {};
  const say = (name: string) => () => void said.push(name);
  let answer = '';
  const exchange: Exchange = {
    requestHeaders: say('request-headers'),
    requestBody: say('request-body'),
    requestTrailers: say('request-trailers'),
    responseHeaders: say('response-headers'),
    responseBody: (bytes) => {
      said.push('response-body');
      answer += Buffer.from(bytes);
    },
    responseTrailers: say('response-trailers'),
    immediateResponse: say('immediate-response'),
    startRequest: (work) => {
      letIn = work;
    },
    inSlices: () => {},
    end: say('end'),
    abort: say('abort'),
    pause: say('pause'),
    resume: say('resume'),
    unsentBytes: 0,
  };
  const policy = compilePolicy({ ...base, formatVersion: 4, version: 'test' });
  const handler = drive(exchange, {
    policy: () => policy,
    store,
    estimates: new OutputEstimator(),
    health: newOutlierDetection(),
    broken: new Interruptions(() => 1),
    counts: newCountQueue(),
    compares: () => false,
    newMeter,
    newId: () => 'id',
    random: () => 0,
    now: () => 1,
    finished: (outcome) => outcomes.push(outcome),
    fault: (error) => {
      throw error;
    },
    bodies: new Bodies(),
    plainErrors: false,
  })!;
  handler.requestHeaders(HEADERS, false, new Map([['xds.route_name', 'entry']]));
  handler.requestBody(BODY, true);
  return { handler, store, said, outcomes, letIn: () => letIn(), answer: () => answer };
}

test('a request goes on when it is let in', () => {
  const { said, letIn, store } = waiting();
  assert.deepEqual(said, []);
  assert.equal(counts(store).openHolds, 0);
  letIn();
  assert.deepEqual(said, ['request-headers', 'request-body']);
  assert.equal(counts(store).openHolds, 1);
});

test('a client that leaves while its request waits has held nothing and costs nothing', () => {
  const { handler, said, outcomes, store } = waiting();
  handler.closed(false);
  assert.deepEqual(said, ['end']);
  assert.equal(counts(store).openHolds, 0);
  assert.equal(outcomes.length, 1);
  assert.equal(outcomes[0]!.clientLeft, true);
  assert.equal(outcomes[0]!.usage, undefined);
});

test("Envoy's own answer to a request that waits comes after all that letting it in brings", () => {
  const { handler, said, letIn, store, answer } = waiting();
  handler.responseHeaders([[':status', '504']], false, new Map());
  const body = Buffer.from('late');
  handler.responseBody(body, true);
  // The buffer is used again.
  body.fill(0xdb);
  assert.deepEqual(said, []);
  letIn();
  assert.equal(answer(), 'late');
  assert.deepEqual(said, ['request-headers', 'request-body', 'response-headers', 'response-body', 'end']);
  assert.equal(counts(store).openHolds, 0);
});
