/**
 * Uncounted endpoints beside quotas: who may allow them, and that no spelling of a counted endpoint
 * is one of them.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { call } from './support/client.ts';
import { quotaPolicy, teamQuota } from './support/resources.ts';
import { startWorld, type World } from './support/world.ts';

const everything = { passthrough: [{ method: 'POST', path: '/v1/*' }] };
const all = { onMissingKey: 'Shared' };

describe('a passthrough prefix, if every quota allows uncounted endpoints', () => {
  let world: World;
  before(async () => {
    const quotas = [teamQuota('tokens', 'TotalTokens', 1_000_000, { ...all, unmetered: 'Allow' })];
    world = await startWorld([quotaPolicy('tokens', 'chat', quotas)], everything);
  });
  after(() => world?.stop());

  it('passes an unknown endpoint', async () => {
    await call(`${world.gateway.url}/v1/batches`, { input: 'x' });
    assert.equal(world.provider.seen.length, 1);
    world.provider.forget();
  });

  for (const path of [
    '/v1/chat/completions/',
    '/v1/chat%2fcompletions',
    '/v1/Chat/Completions',
    '/v1/chat/completions;x=1',
    '/v1/chat/completions%20',
    '/v1/files/..%252fchat/completions',
  ]) {
    it(`refuses ${path}`, async () => {
      const { status, json } = await call(`${world.gateway.url}${path}`, { model: 'x', messages: [] });
      assert.equal(status, 404);
      assert.equal(json.error.code, 'unknown_endpoint');
      assert.equal(world.provider.seen.length, 0);
    });
  }
});

describe('a passthrough prefix, if only one of two quotas allows uncounted endpoints', () => {
  let world: World;
  before(async () => {
    world = await startWorld(
      [
        quotaPolicy('open', 'chat', [teamQuota('tokens', 'TotalTokens', 1_000_000, { ...all, unmetered: 'Allow' })]),
        quotaPolicy('strict', 'chat', [teamQuota('tokens', 'TotalTokens', 1_000_000, all)]),
      ],
      everything,
    );
  });
  after(() => world?.stop());

  it('is refused by the other quota', async () => {
    const { status, json } = await call(`${world.gateway.url}/v1/fine_tuning/jobs`, { prompt: 'x' });
    assert.equal(status, 403);
    assert.equal(json.error.code, 'unmetered_endpoint');
    assert.equal(world.provider.seen.length, 0);
  });
});
