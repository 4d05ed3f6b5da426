/**
 * A client that leaves does not get output for free: the policy decides the charge for what nobody
 * saw.
 */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { chat, deliveredTokens, limitedRoute, openChat, recordsOf } from './support/limits.ts';
import { teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { startWorld, type World } from './support/world.ts';

const LIMIT = 1_000_000;
const BOUND = 16_000;

let world: World;
before(async () => {
  world = await startWorld(
    limitedRoute({
      hold: { quotas: [teamQuota('tokens', 'TotalTokens', LIMIT)] },
      estimate: { quotas: [teamQuota('tokens', 'TotalTokens', LIMIT, { onAbandon: 'Estimate' })] },
    }),
  );
});
after(() => world?.stop());

/** Requests a unary response and leaves before it arrives. */
async function leavesWhole(model: string, team: string): Promise<number> {
  const body = { max_completion_tokens: BOUND };
  const leaves = openChat(world, model, { team, body, mock: { tokens: 100, delayMs: 5_000 }, timeoutMs: 150 });
  await assert.rejects(leaves);
  const [record] = await recordsOf(world, team, 1);
  assert.equal(record?.source, 'estimated');
  return record.outputTokens ?? 0;
}

it('an abandoned unary response costs its hold', async () => {
  assert.equal(await leavesWhole('hold', 'whole-hold'), BOUND);
});

for (const [model, least, most] of [
  ['hold', BOUND, BOUND],
  ['estimate', 256, BOUND - 1],
] as const) {
  it(`an abandoned stream costs its hidden output (onAbandon of ${model})`, async () => {
    const team = `hidden-${model}`;
    const opened = await openChat(world, model, {
      team,
      // Predicted text that the model rejects is billed and not shown, whatever the model's name.
      body: { stream: true, max_completion_tokens: BOUND, prediction: { type: 'content', content: 'a' } },
      mock: { tokens: 2_000, hiddenTokens: 5_000, paceMs: 20 },
    });
    await waitFor('tokens', () => deliveredTokens(opened.text()) > 5);
    opened.abort();
    await opened.done;
    const [record] = await recordsOf(world, team, 1);
    const charged = record?.outputTokens ?? 0;
    assert.ok(charged >= least && charged <= most, `${charged} charged: ${record?.line}`);
  });
}

it('a provider that breaks off a unary response is not mistaken for a client that left', async () => {
  const team = 'broken';
  const body = { max_completion_tokens: BOUND };
  await chat(world, 'hold', { team, body, mock: { tokens: 200, fail: { when: 'in', how: 'close' } } });
  const [record] = await recordsOf(world, team, 1);
  const charged = record?.outputTokens ?? 0;
  assert.ok(charged >= 100 && charged < 1_000, record?.line);
});

// Runs last, because the lengths that it teaches apply to all models of the route.
it('onAbandon: Estimate charges the usual length of responses', async () => {
  const team = 'whole-estimate';
  assert.equal(await leavesWhole('estimate', team), 256, 'before anything is learned');
  for (let nth = 0; nth < 8; nth++) {
    await chat(world, 'estimate', { team: 'teaches', mock: { tokens: 700 } });
  }
  const learned = await leavesWhole('estimate', `${team}-again`);
  assert.ok(learned >= 700 && learned < BOUND, `${learned}`);
});
