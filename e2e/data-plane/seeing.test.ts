/**
 * What an operator sees: one access line per request, metrics under the OpenTelemetry GenAI names,
 * readiness; never a prompt or a key.
 */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { CLIENT_KEY } from './support/clients.ts';
import { chat, limitedRoute, recordsOf } from './support/limits.ts';
import type { Metrics } from './support/metrics.ts';
import { PROVIDER_KEY, teamQuota } from './support/resources.ts';
import { startWorld, type World } from './support/world.ts';

const PROMPT = 'a-secret-that-nobody-may-log';

let world: World;
before(async () => {
  world = await startWorld(limitedRoute({ seen: { quotas: [teamQuota('tokens', 'TotalTokens', 300)] } }));
});
after(() => world?.stop());

/** Matches the beginning of the name, because exporters add units and suffixes. */
function total(
  metrics: Metrics,
  prefix: string,
  ending: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  return metrics.samples
    .filter((one) => one.name.startsWith(prefix) && one.name.endsWith(ending))
    .filter((one) => Object.entries(labels).every(([name, value]) => one.labels[name] === value))
    .reduce((sum, one) => sum + one.value, 0);
}

it('each request has an access line and metrics', async () => {
  const { gateway } = world;
  const body = { messages: [{ role: 'user', content: PROMPT }] };
  const headers = { authorization: `Bearer ${CLIENT_KEY}` };
  await chat(world, 'seen', { team: 'blue', body, headers, mock: { tokens: 40 } });
  await chat(world, 'seen', {
    team: 'blue',
    body: { ...body, stream: true },
    headers,
    mock: { tokens: 60, paceMs: 2, delayMs: 50 },
  });
  await chat(world, 'seen', {
    team: 'blue',
    body: { ...body, stream: true },
    headers,
    mock: { tokens: 900, paceMs: 1 },
  });
  const refused = await chat(world, 'seen', { team: 'blue', body, headers });
  assert.equal(refused.status, 429);

  const records = await recordsOf(world, 'blue', 4);
  const lines = records.map((record) => JSON.parse(record.line));
  assert.deepEqual(
    lines.map((line) => line.status),
    [200, 200, 200, 429],
  );
  assert.deepEqual(
    lines.map((line) => line.decision),
    ['admitted', 'admitted', 'cut', 'refused'],
  );
  assert.deepEqual(
    lines.map((line) => line.stream),
    [false, true, true, false],
  );
  for (const line of lines) {
    assert.equal(line.route, 'default/limits');
    assert.equal(line.model, 'seen');
    assert.equal(line.tenant['x-team'], 'blue');
    assert.ok(line.durationMs > 0 && Math.abs(Date.parse(line.time) - Date.now()) < 60_000);
  }
  assert.ok(lines[1].firstTokenMs >= 50 && lines[1].firstTokenMs < lines[1].durationMs, records[1]?.line);
  assert.equal(lines[3].error, 'quota_exceeded');
  assert.match(lines[3].quota, /tokens$/);

  const metrics = await gateway.metrics();
  const input = lines.slice(0, 3).reduce((sum, line) => sum + line.tokens.input, 0);
  const output = lines.slice(0, 3).reduce((sum, line) => sum + line.tokens.output, 0);
  assert.equal(total(metrics, 'gen_ai_client_token_usage', '_sum', { gen_ai_token_type: 'input' }), input);
  assert.equal(total(metrics, 'gen_ai_client_token_usage', '_sum', { gen_ai_token_type: 'output' }), output);
  assert.ok(total(metrics, 'gen_ai_server_request_duration', '_count') >= 3);
  assert.ok(total(metrics, 'gen_ai_server_time_to_first_token', '_count') >= 2);
  const blue = (prefix: string) =>
    metrics.samples
      .filter((one) => one.name.startsWith(prefix) && Object.values(one.labels).some((value) => value.includes('blue')))
      .reduce((sum, one) => sum + one.value, 0);
  assert.equal(blue('tallygate_quota_limit'), 300);
  assert.equal(blue('tallygate_quota_spent'), input + output);
  assert.equal(blue('tallygate_quota_held'), 0);

  const everything = `${gateway.log()}\n${gateway.records.map((record) => record.line).join('\n')}\n${JSON.stringify(metrics.samples)}`;
  for (const secret of [PROMPT, PROVIDER_KEY, CLIENT_KEY]) {
    assert.ok(!everything.includes(secret), 'a secret is in the log');
  }
});
