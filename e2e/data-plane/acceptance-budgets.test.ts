/**
 * Runs budgets on top of access control as a user writes them (testdata/access.yaml and
 * testdata/budgets.yaml), with their fixed ports. Most of a budget is spent by what the provider
 * bills beyond the hold, so that a few requests show the end of 20, 500 and 2,000 dollars.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Behaviour } from './support/behaviour.ts';
import { type Answered, type CallOptions, call, open } from './support/client.ts';
import { say } from './support/clients.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type OidcProvider, startOidcProvider } from './support/oidc-provider.ts';
import { claimPorts } from './support/ports.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { waitFor } from './support/wait.ts';
import { startWebhookReceiver, type WebhookReceiver } from './support/webhook-receiver.ts';

const files = ['access.yaml', 'budgets.yaml'].map((name) => path.join(import.meta.dirname, 'testdata', name));
const [GATEWAY_PORT, PROVIDER_PORT, ISSUER_PORT, WEBHOOK_PORT] = [8080, 9800, 9900, 9901];
/** 75 dollars per million tokens of input in the catalog. */
const DEAR_MODEL = 'gpt-4.5-preview';
const EXTRA_TOKENS = 1_000_000;

let provider: Provider;
let issuer: OidcProvider;
let gateway: Gateway;
let receiver: WebhookReceiver;
before(async () => {
  await claimPorts(GATEWAY_PORT, PROVIDER_PORT, ISSUER_PORT, WEBHOOK_PORT);
  provider = await startProvider({}, PROVIDER_PORT);
  issuer = await startOidcProvider({ port: ISSUER_PORT });
  receiver = await startWebhookReceiver(WEBHOOK_PORT);
  gateway = await startGateway([], { files, port: GATEWAY_PORT });
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await provider?.stop();
  await receiver?.stop();
});

/** Returns what one user of a tenant sends. */
async function callerOf(tenant: string, user: string) {
  const claims = { team: tenant, email: `${user}@example.com`, groups: ['engineering'] };
  const headers = { authorization: `Bearer ${await issuer.issueToken({ claims })}` };
  const url = `${gateway.url}/v1/chat/completions`;
  const body = (model: string, more: object) => ({ model, max_tokens: 20, messages: say('Hello'), ...more });
  return {
    ask: (model: string, mock: Behaviour = { tokens: 5 }, more: object = {}): Promise<Answered> =>
      call(url, body(model, more), { headers, mock }),
    open: (model: string, options: CallOptions) => open(url, body(model, { stream: true }), { headers, ...options }),
    quotas: async () => {
      const { json } = await call(`${gateway.url}/v1/quota`, undefined, { headers });
      const rows: { readonly name: string; readonly amount: unknown; readonly remaining: unknown }[] = json.data;
      return new Map(rows.map(({ name, amount, remaining }) => [name.split('/').at(-1), { amount, remaining }]));
    },
  };
}

/** Lets users of a tenant spend 75 dollars each, all at once. */
async function spend(tenant: string, users: number): Promise<void> {
  const callers = await Promise.all(Array.from({ length: users }, (_, index) => callerOf(tenant, `user-${index}`)));
  const mock = { tokens: 5, extraInputTokens: EXTRA_TOKENS, delayMs: 1_500 };
  const answers = await Promise.all(callers.map(({ ask }) => ask(DEAR_MODEL, mock)));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]), answers[0]?.text);
}

function decidedBy(answer: Answered): string {
  assert.equal(answer.status, 429, answer.text);
  return /quota default\/budgets\/([a-z-]+)/i.exec(answer.json.error.message)?.[1] ?? answer.json.error.message;
}

describe('access.yaml and budgets.yaml', () => {
  it('start together: the backend of the later file replaces the one of the earlier', async () => {
    const { ask, quotas } = await callerOf('ads', 'first');
    assert.match(gateway.log(), /access\.yaml:\d+: AIBackend default\/openai .* is replaced by .*budgets\.yaml:2;/);
    const answer = await ask('gpt-4o-mini');
    assert.equal(answer.status, 200, answer.text);
    const { prompt_tokens: input, completion_tokens: output } = answer.json.usage;
    assert.equal(answer.headers['x-ratelimit-limit-weighted-tokens'], '200000');
    const rows = await waitFor('the charge', async () => {
      const found = await quotas();
      return found.get('user-day')?.remaining === '20' ? undefined : found;
    });
    const nanos = BigInt(input) * 150n + BigInt(output) * 600n;
    assert.equal(
      rows.get('user-day')?.remaining,
      `19.${String(10n ** 9n - nanos)
        .padStart(9, '0')
        .replace(/0+$/, '')}`,
    );
    assert.deepEqual(rows.get('weighted-minute'), { amount: 200_000, remaining: 200_000 - input - 4 * output });
    assert.deepEqual(rows.get('parallel'), { amount: 16, remaining: 16 });
  });

  it('user-day ends the budget of one user of a tenant', async () => {
    await spend('sales', 1);
    const { ask } = await callerOf('sales', 'user-0');
    assert.equal(decidedBy(await ask('gpt-4o-mini')), 'user-day');
  });

  it('team-month ends at the amount that the override gives the tenant', async () => {
    await Promise.all([spend('ads', 7), spend('search', 7)]);
    const [ads, search] = [await callerOf('ads', 'other'), await callerOf('search', 'other')];
    assert.equal((await ads.quotas()).get('team-month')?.amount, '500');
    assert.equal((await search.quotas()).get('team-month')?.amount, '2000');
    assert.equal(decidedBy(await ads.ask('gpt-4o-mini')), 'team-month');
    assert.equal(decidedBy(await search.ask('gpt-4o-mini')), 'weighted-minute', 'the month has room');
    const told = () =>
      receiver.events
        .filter(({ data: { quota, key } }) => quota === 'default/budgets/team-month' && key[0]?.value === 'ads')
        .map(({ data: { percent } }) => percent)
        .toSorted((one, other) => one - other);
    await waitFor('the alerts of the tenant', () => told().length === 3, 15_000);
    assert.deepEqual(told(), [50, 80, 100]);
    assert.deepEqual(receiver.faults, []);
  });

  it('weighted-minute cuts a stream and refuses the next', async () => {
    const { ask } = await callerOf('weighed', 'ada');
    const mock = { tokens: 60_000, tokensAChunk: 500, paceMs: 0 };
    const cut = await ask('gpt-4o', mock, {
      stream: true,
      max_tokens: 60_000,
      stream_options: { include_usage: true },
    });
    assert.equal(cut.status, 200);
    assert.ok(cut.text.includes('"finish_reason":"length"') && cut.text.endsWith('data: [DONE]\n\n'));
    let last = await ask('gpt-4o-mini', { tokens: 500 }, { max_tokens: 500 });
    for (let asked = 0; asked < 20 && last.status === 200; asked++) {
      last = await ask('gpt-4o-mini', { tokens: 500 }, { max_tokens: 500 });
    }
    assert.equal(decidedBy(last), 'weighted-minute');
    assert.equal(last.json.error.code, 'quota_exceeded');
  });

  it('parallel lets sixteen requests of a user run, and another user as many', async () => {
    const [ada, bob] = [await callerOf('parallel', 'ada'), await callerOf('parallel', 'bob')];
    const running = await Promise.all(
      Array.from({ length: 16 }, () => ada.open('gpt-4o-mini', { mock: { tokens: 20, paceMs: 3_000 } })),
    );
    assert.deepEqual(new Set(running.map(({ status }) => status)), new Set([200]));
    const refused = await ada.ask('gpt-4o-mini');
    assert.equal(decidedBy(refused), 'parallel');
    assert.equal(refused.json.error.code, 'concurrency_exceeded');
    assert.equal((await bob.ask('gpt-4o-mini')).status, 200);
    for (const each of running) {
      each.abort();
    }
    await waitFor('room for another', async () => (await ada.ask('gpt-4o-mini')).status === 200);
  });
});
