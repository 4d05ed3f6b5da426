/**
 * With TALLYGATE_ERROR_DETAIL=plain, a refusal contains its code and nothing of the configuration;
 * the access line contains both.
 */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { type Ask, chat, limitedRoute, recordsOf } from './support/limits.ts';
import { teamQuota } from './support/resources.ts';
import { startWorld, type World } from './support/world.ts';

const OUTPUT_LIMIT = 4321;
const BODY_LIMIT = 54_321;
const namesOfOurs = /default\/|secret-|limits|4321|54321|maxRequestBodySize|unmetered|AIGatewayRoute/;

let world: World;
before(async () => {
  const more = { requestLimits: { outputTokens: OUTPUT_LIMIT, bodySize: `${BODY_LIMIT}` } };
  world = await startWorld(
    limitedRoute({
      'private-model': { quotas: [teamQuota('secret-requests', 'Requests', 1)], more },
      'small-model': { quotas: [teamQuota('secret-tokens', 'TotalTokens', 5)] },
    }),
    {},
    { environment: { TALLYGATE_ERROR_DETAIL: 'plain' } },
  );
});
after(() => world?.stop());

async function refusedAs(code: string, status: number, model: string, ask: Ask) {
  const answer = await chat(world, model, ask);
  assert.equal(answer.status, status);
  assert.equal(answer.json.error.code, code);
  assert.doesNotMatch(answer.text, namesOfOurs);
  return answer;
}

it('an exhausted quota is named in the access line and not in the error', async () => {
  assert.equal((await chat(world, 'private-model', { team: 'spent', mock: { tokens: 1 } })).status, 200);
  const refused = await refusedAs('request_rate_exceeded', 429, 'private-model', { team: 'spent' });
  assert.equal(refused.json.error.message, 'Too many requests.');
  assert.equal(refused.headers['x-should-retry'], 'false');
  assert.equal(refused.headers['x-ratelimit-limit-requests'], '1');
  const record = JSON.parse((await recordsOf(world, 'spent', 2))[1]!.line);
  assert.equal(record.error, 'request_rate_exceeded');
  assert.equal(record.quota, 'default/private-model/secret-requests');
  assert.equal(record.rule, 'private-model');
});

it('request limits and missing keys are not disclosed either', async () => {
  await refusedAs('quota_exceeded', 429, 'small-model', { team: 'large' });
  const output = { max_completion_tokens: OUTPUT_LIMIT + 1 };
  await refusedAs('output_tokens_exceeded', 400, 'private-model', { team: 'output', body: output });
  const long = { messages: [{ role: 'user', content: 'x'.repeat(BODY_LIMIT) }] };
  await refusedAs('request_too_large', 413, 'private-model', { team: 'body', body: long });
  const missing = await refusedAs('missing_quota_key', 400, 'private-model', { team: '' });
  assert.equal(missing.json.error.param, 'x-team');
});
