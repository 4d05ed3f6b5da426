/** The official TypeScript clients with keys and tokens in each header, and with certificates. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { Agent, fetch as undiciFetch } from 'undici';
import type { Certificate } from '../../fixtures/certificates.ts';
import { type AccessWorld, KEY, startAccessWorld } from './support/access-world.ts';
import { anthropicClient, errorOf, mock, openaiClient, say } from './support/clients.ts';
import { CLAUDE, MODEL } from './support/world.ts';

const BODY = { model: MODEL, max_tokens: 20, messages: say('Hello') };

describe('the official clients', () => {
  let world: AccessWorld;
  const agents: Agent[] = [];
  before(async () => {
    world = await startAccessWorld();
  });
  beforeEach(() => world.provider.forget());
  after(async () => {
    await Promise.all(agents.map((agent) => agent.destroy()));
    await world?.stop();
  });

  /** Returns options for both clients. Without a key, they send one that no gateway knows. */
  function optionsOf(certificate: Certificate | undefined, apiKey = 'unused') {
    const dispatcher = new Agent({ connect: { ca: world.authority.cert, ...certificate } });
    agents.push(dispatcher);
    const fetch = undiciFetch as unknown as typeof globalThis.fetch;
    return { apiKey, maxRetries: 0, fetch, fetchOptions: { dispatcher } };
  }

  const openaiWith = (certificate: Certificate | undefined, apiKey?: string) =>
    new OpenAI({ baseURL: `${world.tlsUrl}/v1`, ...optionsOf(certificate, apiKey) });
  const certificateOf = (tenant: string) =>
    world.authority.issue({ subject: 'CN=batch', uris: [`spiffe://example.org/ns/${tenant}/sa/batch`] });

  async function callerOf(work: () => Promise<unknown>): Promise<readonly unknown[]> {
    const { record } = await world.gateway.recordOf(work);
    const { decision, method, tenant, user } = JSON.parse(record.line).caller;
    return [decision, method, tenant, user];
  }

  it('work with a key and with a token in each header', async () => {
    const token = await world.issuer.issueToken();
    for (const [credential, method] of [
      [KEY, 'api_key'],
      [token, 'jwt'],
    ] as const) {
      const { url } = world.gateway;
      const openai = openaiClient(url).withOptions({ apiKey: credential });
      const [byKey, byBearer] = [{ apiKey: credential }, { apiKey: null, authToken: credential }].map((own) =>
        anthropicClient(url).withOptions(own),
      );
      for (const work of [
        () => openai.chat.completions.create(BODY, mock({ tokens: 3 })),
        () => byKey!.messages.create({ ...BODY, model: CLAUDE }, mock({ tokens: 3 })),
        () => byBearer!.messages.create({ ...BODY, model: CLAUDE }, mock({ tokens: 3 })),
      ]) {
        assert.deepEqual((await callerOf(work)).slice(0, 3), ['admitted', method, 'search']);
      }
    }
  });

  it('work with a certificate, and the caller is who it names', async () => {
    const certificate = await certificateOf('search');
    const openai = openaiWith(certificate);
    const anthropic = new Anthropic({ baseURL: world.tlsUrl, ...optionsOf(certificate) });
    for (const work of [
      () => openai.chat.completions.create(BODY, mock({ tokens: 3 })),
      () => anthropic.messages.create({ ...BODY, model: CLAUDE }, mock({ tokens: 3 })),
      () => anthropic.messages.stream({ ...BODY, model: CLAUDE }, mock({ tokens: 3 })).finalMessage(),
    ]) {
      assert.deepEqual(await callerOf(work), ['admitted', 'client_certificate', 'search', 'CN=batch']);
    }
  });

  it('raise PermissionDeniedError for a model that the tenant may not use', async () => {
    const openai = openaiWith(await certificateOf('ads'));
    const denied = await errorOf(openai.chat.completions.create({ ...BODY, model: 'cheap' }));
    assert.ok(denied instanceof OpenAI.PermissionDeniedError, String(denied));
    assert.equal(world.provider.seen.length, 0);
  });

  it('are identified by a valid key before their certificate', async () => {
    const openai = openaiWith(await certificateOf('ads'), KEY);
    const caller = await callerOf(() => openai.chat.completions.create(BODY, mock({ tokens: 3 })));
    assert.deepEqual(caller, ['admitted', 'api_key', 'search', 'batch']);
  });

  it('raise APIConnectionError without a certificate, even with a key', async () => {
    const error = await errorOf(openaiWith(undefined, KEY).chat.completions.create(BODY));
    assert.ok(error instanceof OpenAI.APIConnectionError, String(error));
    assert.equal(world.provider.seen.length, 0);
  });
});
