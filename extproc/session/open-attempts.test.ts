import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { ATTEMPT_ID_ATTRIBUTE, CLUSTER_ATTRIBUTE } from '../../contract/headers.ts';
import type { ExchangeHandler } from '../exchange.ts';
import { type AttemptOwner, OpenAttempts } from './open-attempts.ts';
import { newExchange } from './testing.ts';

const CLUSTER = 'attempt/default/openai';

let open: OpenAttempts;
let said: string[];
let owner: AttemptOwner;
let handler: ExchangeHandler | undefined;

beforeEach(() => {
  open = new OpenAttempts('epoch');
  said = [];
  handler = undefined;
  owner = {
    attemptBegan: (_exchange, backend) => said.push(`began at ${backend}`),
    attemptAnswered: (_exchange, headers) => said.push(`answered ${headers[0]?.[1]}`),
  };
});

function take(id: string | undefined, cluster = CLUSTER): boolean {
  const exchange = {
    ...newExchange((what) => said.push(what)),
    handOver: (next: ExchangeHandler) => {
      handler = next;
    },
  };
  const attributes = new Map([[CLUSTER_ATTRIBUTE, cluster]]);
  if (id !== undefined) {
    attributes.set(ATTEMPT_ID_ATTRIBUTE, id);
  }
  return open.take(exchange, attributes);
}

describe('an attempt', () => {
  it('goes to the request that its id names, with its response', () => {
    open.open({ attemptBegan: () => assert.fail(), attemptAnswered: () => assert.fail() });
    assert.equal(take(open.open(owner)), true);
    handler?.responseHeaders([[':status', '200']], false, new Map());
    assert.deepEqual(said, ['began at default/openai', 'answered 200']);
  });

  it('is refused once its request is over', () => {
    const id = open.open(owner);
    open.close(id);
    assert.equal(take(id), true);
    assert.deepEqual(said, ['tallygate_no_attempt_left']);
  });

  it('is refused where the process before this one had its request', () => {
    const id = new OpenAttempts('before').open(owner);
    open.open(owner);
    take(id);
    assert.deepEqual(said, ['tallygate_no_attempt_left']);
  });

  it('is refused in a cluster that is none for attempts', () => {
    take(open.open(owner), 'backend/default/openai');
    assert.deepEqual(said, ['tallygate_no_attempt_left']);
  });
});

it('an exchange without an id is no attempt', () => {
  open.open(owner);
  assert.equal(take(undefined), false);
  assert.deepEqual(said, []);
});
