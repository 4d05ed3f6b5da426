import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { knownToken, type WantedToken } from '../contract/cloud-tokens.ts';
import { ENTRA, TokenEndpoints } from '../fixtures/clouds/token-endpoints.ts';
import { createLog } from '../runtime/log.ts';
import type { KubeClient } from './api/client.ts';
import type { KubeObject } from './api/object.ts';
import { ClusterTokens } from './cloud-tokens.ts';

const endpoints = new TokenEndpoints();
before(() => endpoints.start());
after(() => endpoints.stop());

const wanted: WantedToken = {
  backend: 'default/azure',
  source: {
    type: 'AzureEntra',
    cloud: 'Public',
    tenantId: ENTRA.tenantId,
    clientId: ENTRA.clientId,
    scope: 'https://cognitiveservices.azure.com/.default',
    clientSecret: { reveal: () => ENTRA.clientSecret },
  },
};

test('the first plan of a leader waits for tokens, and the next leader goes on with them', async () => {
  let stored: KubeObject | undefined;
  const client = {
    get: async () => stored,
    apply: async (_: unknown, object: KubeObject) => {
      stored = object;
    },
  } as unknown as KubeClient;
  const newTokens = () =>
    new ClusterTokens({
      client,
      namespace: 'tallygate-system',
      exchange: { environment: {}, proxy: endpoints.url },
      changed: () => {},
      log: createLog({ level: 'silent' }),
    });
  const term = new AbortController();
  const first = newTokens();
  await first.restore(term.signal);
  assert.equal(await first.want([wanted]), true);
  assert.equal(await first.want([wanted]), false, 'only the first plan waits');
  const token = knownToken(first.results(), wanted)?.token?.reveal();
  assert.equal(token, endpoints.issued[0]?.token);
  await first.save(term.signal);
  assert.deepEqual(stored?.metadata, { namespace: 'tallygate-system', name: 'tallygate-cloud-tokens' });
  term.abort();
  assert.equal(first.counts().wanted, 0, 'a replica that does not lead fetches nothing');
  first.close();

  endpoints.down = 503;
  const second = newTokens();
  await second.restore(new AbortController().signal);
  await second.want([wanted]);
  assert.equal(knownToken(second.results(), wanted)?.token?.reveal(), token);
  assert.equal(endpoints.requests.length, 1);
  second.close();
});
