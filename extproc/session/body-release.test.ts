/** When the memory of a request's body may be used again. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Failover } from '../../contract/policy.ts';
import { loadEncodings } from '../tokens/encodings.ts';
import { basePolicy, CHAT_HEADERS, ENTRY, newExchange, newRig } from './testing.ts';

const BODY = Buffer.from('{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}');

const failover: Failover = {
  on: ['5xx'],
  attempts: 2,
  cooldownMs: 1000,
  withinRequest: {
    route: 'small',
    targets: ['small/openai', 'small/other'].map((id) => ({ id })),
  },
};

/** Returns what a request did until its response, with `released` where its body was. */
function said(withFailover: boolean, body = BODY): readonly string[] {
  const did: string[] = [];
  const [host] = basePolicy.virtualHosts;
  const [rule] = host!.rules;
  const target = rule!.targets[0]!;
  const rules = [{ ...rule!, targets: [target, { ...target, id: 'small/other', priority: 1 }], failover }];
  const rig = newRig(withFailover ? { policy: { virtualHosts: [{ ...host!, rules }] } } : {});
  const handler = rig.open({
    ...newExchange((what) => did.push(what)),
    releaseRequestBody: () => did.push('released'),
  });
  handler.requestHeaders(CHAT_HEADERS, false, ENTRY);
  handler.requestBody(body, true);
  handler.responseHeaders([[':status', '500']], true, new Map());
  return did;
}

describe('the body of a request', () => {
  before(() => loadEncodings());

  it('is released when it is sent', () => {
    assert.deepEqual(said(false).slice(0, 3), ['request-headers', 'request-body', 'released']);
  });

  it('is released when the request is refused', () => {
    assert.ok(said(false, Buffer.from('{"model":')).includes('released'));
  });

  it('is not released where attempts at backends may still send it', () => {
    const did = said(true);
    assert.deepEqual(did.slice(0, 2), ['request-headers', 'request-body']);
    assert.ok(!did.includes('released'));
  });
});
