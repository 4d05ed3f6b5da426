/**
 * Applies each half of the guide for several teams as its owner. The rights of Kubernetes keep the
 * application team to its own half.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { blocksOf } from '../data-plane/support/pages.ts';
import type { Document } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { askChat, type ChatAnswer } from './support/ask.ts';
import { install } from './support/helm.ts';
import { apply, CommandFailure, command, condition, get, kubectl, repository, waitUntil } from './support/kubectl.ts';
import { removeNamespaces } from './support/namespaces.ts';
import { type ClusterProvider, startClusterProvider } from './support/provider.ts';
import { type Reached, reachGateway } from './support/reach.ts';
import { LISTENER_PORT, waitUntilEnforcing } from './support/world.ts';

const PLATFORM = 'ai-platform';
const TEAM = 'team-search';
const OTHER = 'team-ads';
const HOST = 'search.ai.example.com';
const developer = ['--as=ada', '--as-group=team-search', '--as-group=system:authenticated'];

type Half = 'platform' | 'search';

function half(name: Half): readonly Document[] {
  return blocksOf('docs/guides/tenancy.md')
    .filter(({ info }) => info === `yaml as=${name}`)
    .flatMap(({ text }) => parseAllDocuments(text).map((document) => document.toJS() as Document));
}

/** The simulated provider stands in for the real one. */
function withProvider(document: Document): Document {
  if (document['kind'] !== 'AIBackend') {
    return document;
  }
  const endpoint = { type: 'Service', service: { name: 'provider', port: 8080 } };
  return { ...document, spec: { ...(document['spec'] as Document), endpoint } };
}

async function applyAs(who: readonly string[], documents: readonly Document[]): Promise<void> {
  const args = [...who, 'apply', '--server-side', '-f', '-'];
  await command('kubectl', args, { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: documents }) });
}

/** Returns the key that the command prints once. */
async function createKey(tenant: string, user: string, groups: string): Promise<string> {
  const main = path.join(repository, 'cli/main.ts');
  const args = ['--namespace', PLATFORM, '--tenant', tenant, '--user', user, '--groups', groups];
  return (await command(process.execPath, [main, 'key', 'create', ...args])).trim();
}

let gateway: Reached;
let provider: ClusterProvider;
const keys = { indexing: '', research: '', ads: '' };

before(async () => {
  await install();
  await removeNamespaces(PLATFORM, TEAM, OTHER);
  const platform = half('platform');
  await apply(platform.filter(({ kind }) => kind === 'Namespace'));
  provider = await startClusterProvider(PLATFORM);
  await apply(platform.map(withProvider));
  keys.indexing = await createKey('search', 'batch', 'indexing');
  keys.research = await createKey('search', 'eva', 'research');
  keys.ads = await createKey('ads', 'tom', 'research,indexing');
  await applyAs(developer, half('search'));
  await waitUntil(condition('parents', 'ResolvedRefs', 'True'), ['-n', TEAM, 'aigatewayroute/search']);
  await waitUntilEnforcing(TEAM, 'search');
  gateway = await reachGateway(PLATFORM, 'ai', LISTENER_PORT);
});

after(async () => {
  gateway?.close();
  provider?.close();
  await removeNamespaces(PLATFORM, TEAM, OTHER);
  await kubectl('delete', 'clusterrole', 'ai-application-author', '--ignore-not-found');
});

function ask(key: string | undefined, model: string): Promise<ChatAnswer> {
  const credential: Readonly<Record<string, string>> = key === undefined ? {} : { authorization: `Bearer ${key}` };
  return askChat(gateway.url, { model, headers: { host: HOST, ...credential } });
}

describe('rights', () => {
  const allowed = [
    ['create', 'aigatewayroutes.tallygate.dev', TEAM],
    ['delete', 'aiaccesspolicies.tallygate.dev', TEAM],
    ['patch', 'aiquotapolicies.tallygate.dev', TEAM],
  ] as const;
  const denied = [
    ['create', 'aibackends.tallygate.dev', TEAM],
    ['get', 'secrets', TEAM],
    ['create', 'secrets', PLATFORM],
    ['list', 'secrets', PLATFORM],
    ['create', 'aiaccesspolicies.tallygate.dev', PLATFORM],
    ['patch', 'gateways.gateway.networking.k8s.io', PLATFORM],
    ['create', 'referencegrants.gateway.networking.k8s.io', PLATFORM],
    ['create', 'aigatewayroutes.tallygate.dev', PLATFORM],
  ] as const;
  for (const [verb, resource, namespace] of [...allowed, ...denied]) {
    const isAllowed = allowed.some((each) => each[0] === verb && each[1] === resource && each[2] === namespace);
    it(`a developer ${isAllowed ? 'may' : 'may not'} ${verb} ${resource} in ${namespace}`, async () => {
      const args = [...developer, 'auth', 'can-i', verb, resource, '-n', namespace];
      // The exit code of a "no" is 1.
      const answer = await kubectl(...args).catch((error) => {
        assert.ok(error instanceof CommandFailure);
        return 'no';
      });
      assert.equal(answer.trim(), isAllowed ? 'yes' : 'no');
    });
  }
});

describe('callers', () => {
  it('a group uses the models that the team allows it, and no others', async () => {
    const before = (await provider.seen()).length;
    assert.equal((await ask(keys.indexing, 'gpt-4o-mini')).status, 200);
    const refused = await ask(keys.indexing, 'gpt-4o');
    assert.equal(refused.status, 403, refused.body);
    assert.equal((await ask(keys.research, 'gpt-4o')).status, 200);
    assert.equal((await provider.seen()).length - before, 2);
  });

  it('a key of another tenant is refused on the host name of the team, whatever its groups', async () => {
    for (const model of ['gpt-4o-mini', 'gpt-4o']) {
      const refused = await ask(keys.ads, model);
      assert.equal(refused.status, 403);
      assert.doesNotMatch(refused.body, /search|indexing|research/);
    }
  });

  it('nobody is served without a key', async () => {
    assert.equal((await ask(undefined, 'gpt-4o-mini')).status, 401);
    assert.equal((await ask('tg_000000000000000000000000000000000000', 'gpt-4o-mini')).status, 401);
  });

  it('the provider sees the key of the platform, and none of a caller', async () => {
    await ask(keys.indexing, 'gpt-4o-mini');
    const { headers } = (await provider.seen()).at(-1) ?? assert.fail();
    assert.equal(headers['authorization'], 'Bearer sk-the-key-of-the-provider');
    assert.equal(JSON.stringify(headers).includes(keys.indexing), false);
  });
});

describe('another team', () => {
  const routeOfAds = (parent: string, sectionName?: string): Document => ({
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIGatewayRoute',
    metadata: { name: 'intruder', namespace: OTHER },
    spec: {
      parentRefs: [{ name: 'ai', namespace: parent, ...(sectionName && { sectionName }) }],
      rules: [{ name: 'all', models: ['*'], backendRefs: [{ name: 'openai', namespace: PLATFORM }] }],
    },
  });

  it('cannot use the listener of a team, nor a backend without a grant', async () => {
    await apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: OTHER } }, routeOfAds(PLATFORM, 'search')]);
    const object = ['-n', OTHER, 'aigatewayroute/intruder'];
    await waitUntil(condition('parents', 'Accepted', 'False'), object);
    const { status } = await get(...object);
    const reasons = status.parents[0].conditions.map((each: { reason: string }) => each.reason);
    assert.ok(reasons.includes('NotAllowedByListeners'), reasons.join());
    assert.ok(reasons.includes('RefNotPermitted'), reasons.join());
  });
});

it('without the grant, the team is not served, and the key of the provider is not copied any more', async () => {
  const copies = async () =>
    (await get('-n', PLATFORM, 'secrets', '-l', 'app.kubernetes.io/managed-by=tallygate')).items.length;
  assert.equal(await copies(), 1);
  await kubectl('-n', PLATFORM, 'delete', 'referencegrant', 'openai-for-search');
  await waitUntil(condition('parents', 'ResolvedRefs', 'False'), ['-n', TEAM, 'aigatewayroute/search']);
  await waitFor('no copy', async () => (await copies()) === 0, 10_000);
  const before = (await provider.seen()).length;
  await waitFor('an error', async () => (await ask(keys.research, 'gpt-4o')).status >= 400, 10_000);
  assert.equal((await provider.seen()).length, before);
});
