/**
 * Many streams at the end of one budget: none waits while its provider continues, nearly all of the
 * budget is used, and every other request gets a 429.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type Answered, call } from './support/client.ts';
import { chargedBy, limitedRoute, recordsOf } from './support/limits.ts';
import { type Document, teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { startWorld, type World } from './support/world.ts';

const LARGE = 5_000;
const SMALL = 2_000;
const CHUNK_TOKENS = 4;
/** 200 tokens per second. */
const CHUNK_MS = 20;

let world: World;
before(async () => {
  world = await startWorld(
    limitedRoute({
      large: { quotas: [teamQuota('tokens', 'TotalTokens', LARGE)] },
      small: { quotas: [teamQuota('tokens', 'TotalTokens', SMALL)] },
    }),
  );
});
after(() => world?.stop());
beforeEach(() => world.provider.forget());

interface Dialect {
  readonly path: string;
  readonly body: (model: string) => Document;
  readonly cut: string;
  /** Whether a request names its model. */
  readonly names: boolean;
}

const PROMPT = 'Tell me a long story of the sea and of the people who live beside it.';
const messages = [{ role: 'user', content: PROMPT }];
const dialects: Readonly<Record<string, Dialect>> = {
  'chat completions': {
    path: '/v1/chat/completions',
    body: (model) => ({ model, stream: true, messages }),
    cut: '"finish_reason":"length"',
    names: true,
  },
  completions: {
    path: '/v1/completions',
    body: (model) => ({ model, stream: true, prompt: PROMPT, max_tokens: 4_000 }),
    cut: '"finish_reason":"length"',
    names: true,
  },
  responses: {
    path: '/v1/responses',
    body: (model) => ({ model, stream: true, input: PROMPT }),
    cut: 'max_output_tokens',
    names: true,
  },
  messages: {
    path: '/v1/messages',
    body: (model) => ({ model, stream: true, max_tokens: 4_000, messages }),
    cut: '"stop_reason":"max_tokens"',
    names: true,
  },
  TGI: {
    path: '/generate_stream',
    body: () => ({ inputs: PROMPT, parameters: { max_new_tokens: 4_000 } }),
    cut: '"finish_reason":"length"',
    names: false,
  },
};

/**
 * Starts all streams at once. Returns the admitted ones, and the figures of the quota store and the
 * provider.
 */
async function rush(dialect: Dialect, model: string, team: string, clients: number, tokens: number) {
  const answers = await Promise.all(
    Array.from({ length: clients }, () =>
      call(`${world.gateway.url}${dialect.path}`, dialect.body(model), {
        headers: { 'x-team': team, ...(!dialect.names && { 'x-engine': model }) },
        mock: { tokens, tokensAChunk: CHUNK_TOKENS, paceMs: CHUNK_MS },
      }),
    ),
  );
  const admitted = answers.filter(({ status }) => status === 200);
  const others = answers.filter(({ status }) => status !== 200).map(({ status }) => status);
  assert.deepEqual(new Set(others), new Set(others.length === 0 ? [] : [429]));
  assert.ok(admitted.every(({ complete }) => complete));
  await waitFor('closed upstreams', () => world.provider.openCount() === 0);
  const records = await recordsOf(world, team, clients);
  const made = world.provider.seen.reduce((sum, one) => sum + one.inputTokens + one.outputTokens, 0);
  return { admitted, records, made, charged: chargedBy(records) };
}

const isCut = ({ cut }: Dialect, answers: readonly Answered[]) => answers.filter(({ text }) => text.includes(cut));

describe(`64 clients, ${LARGE} tokens, 200 tokens per second each`, () => {
  for (const [name, dialect] of Object.entries(dialects)) {
    it(name, async (t) => {
      const { admitted, records, made, charged } = await rush(dialect, 'large', `large ${name}`, 64, 600);
      t.diagnostic(`${admitted.length} admitted, ${charged} charged, ${made} made`);
      assert.ok(charged >= 0.98 * LARGE && charged <= LARGE, `${charged} charged of ${LARGE}`);
      assert.ok(made <= LARGE + 2 * CHUNK_TOKENS * admitted.length, `${made} made of ${LARGE}`);
      assert.ok(admitted.length < 40, `${admitted.length} admitted: few that get far are better than many that do not`);
      assert.deepEqual(
        records.flatMap(({ overdrafts }) => overdrafts),
        [],
      );
    });
  }
});

describe(`streams that are longer than ${SMALL} tokens allow`, () => {
  for (const clients of [4, 8, 16, 32, 64]) {
    it(`use the budget with ${clients} clients`, async (t) => {
      const chat = dialects['chat completions']!;
      const { admitted, made, charged } = await rush(chat, 'small', `small ${clients}`, clients, 2_000);
      t.diagnostic(`${admitted.length} admitted, ${charged} charged, ${made} made`);
      assert.ok(charged >= 0.98 * SMALL && charged <= SMALL, `${charged} charged of ${SMALL}`);
      assert.ok(made <= SMALL + 2 * CHUNK_TOKENS * admitted.length, `${made} made of ${SMALL}`);
    });
  }

  it('no stream is cut while others hold more than they need', async () => {
    const chat = dialects['chat completions']!;
    // Together 1,600 tokens and the prompts; each stream is longer than its first hold.
    const { admitted } = await rush(chat, 'small', 'enough', 4, 400);
    assert.equal(admitted.length, 4);
    assert.deepEqual(isCut(chat, admitted), []);
  });
});
