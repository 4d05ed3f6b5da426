/**
 * A mistake in one object is reported in its status with a fix, and does not affect others: a valid
 * route serves all the time.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { errorOf, mock, openaiClient, say } from '../data-plane/support/clients.ts';
import { type Document, quotaPolicy, teamQuota } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { install } from './support/helm.ts';
import { apply, get, kubectl, waitUntil } from './support/kubectl.ts';
import { namespaceOf, removeNamespaces } from './support/namespaces.ts';
import { proxyPods } from './support/reach.ts';
import {
  backendOf,
  type ClusterWorld,
  inNamespace,
  keyOf,
  openGatewayOf,
  remoteBackendOf,
  routeOf,
  startClusterWorld,
  waitUntilEnforcing,
} from './support/world.ts';

const NAMESPACE = 'tge-mistakes';
const OTHER = 'tge-mistakes-other';
const MODEL = 'gpt-4o-mini';

let world: ClusterWorld;
let steady: { readonly failures: string[]; count: number; stop: boolean; readonly done: Promise<void> };

before(async () => {
  await removeNamespaces(OTHER);
  await install();
  world = await startClusterWorld(NAMESPACE);
  steady = askAllTheTime();
});
after(async () => {
  await world?.stop();
  await removeNamespaces(OTHER);
});

function ask(model: string, headers: Readonly<Record<string, string>> = {}) {
  const request = { model, messages: say('Hello'), max_completion_tokens: 9 };
  return openaiClient(world.url, headers).chat.completions.create(request, mock({ tokens: 3 }));
}

/** Sends requests to the valid route all the time. */
function askAllTheTime(): typeof steady {
  const run = async () => {
    while (!state.stop) {
      await ask(MODEL).catch((error) => state.failures.push(String(error)));
      state.count++;
      await sleep(50);
    }
  };
  const state: typeof steady = { failures: [], count: 0, stop: false, done: Promise.resolve().then(run) };
  return state;
}

/** Returns a route with a separate model. */
function route(name: string, backendRef: Document, more: Document = {}): Document {
  return routeOf(NAMESPACE, name, [{ name: 'all', models: [`model-of-${name}`], backendRefs: [backendRef], ...more }]);
}

interface Told {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

/**
 * Waits until a condition has this reason: of a backend, a route's first parent, or a policy's
 * first ancestor.
 */
async function told(object: string, type: string, reason: string): Promise<Told> {
  const place = { aibackend: '', aigatewayroute: '.parents[0]', aiquotapolicy: '.ancestors[0]' }[
    object.split('/')[0] ?? ''
  ];
  const path = `.status${place}.conditions[?(@.type=="${type}")]`;
  await waitUntil(`jsonpath={${path}.reason}=${reason}`, ['-n', NAMESPACE, object], 20_000);
  return JSON.parse(await kubectl('get', '-n', NAMESPACE, object, '-o', `jsonpath={${path}}`));
}

/** Asserts that a condition reports a problem with this reason and message. */
async function tells(object: string, type: string, reason: string, says: RegExp): Promise<void> {
  const { status, message } = await told(object, type, reason);
  assert.equal(status, type === 'Conflicted' ? 'True' : 'False');
  assert.match(message, says);
}

/**
 * Waits until a route serves. All conditions have one state: once references are resolved, the
 * others are about the route with its references.
 */
async function serves(name: string): Promise<void> {
  await told(`aigatewayroute/${name}`, 'ResolvedRefs', 'ResolvedRefs');
  await waitUntilEnforcing(NAMESPACE, name);
  await ask(`model-of-${name}`);
}

describe('mistakes', () => {
  it('a route with a value that only translation can validate is reported', async () => {
    const headers = [{ type: 'RegularExpression', name: 'x-tier', value: '(?=a)' }];
    await apply([route('regex', { name: 'openai' }, { headers })]);
    await tells(
      'aigatewayroute/regex',
      'Accepted',
      'Invalid',
      /spec\.rules\[0\]\.headers\[0\]\.value: the expression .*; fix: /,
    );
    await apply([route('regex', { name: 'openai', model: MODEL })]);
    await serves('regex');
  });

  it('a missing backend is reported until it exists', async () => {
    await apply([route('early', { name: 'late' })]);
    await tells(
      'aigatewayroute/early',
      'ResolvedRefs',
      'BackendNotFound',
      /AIBackend tge-mistakes\/late does not exist; fix: /,
    );
    await apply(backendOf(NAMESPACE, 'late', 'OpenAI', world.provider.name, [{ name: '*', maxOutputTokens: 100 }]));
    await serves('early');
  });

  it('a missing Secret or key is reported until it exists', async () => {
    const [secret, backend] = backendOf(NAMESPACE, 'keyless', 'OpenAI', world.provider.name, []) as [
      Document,
      Document,
    ];
    await apply([backend, route('keyless', { name: 'keyless' })]);
    await tells(
      'aibackend/keyless',
      'ResolvedRefs',
      'SecretNotFound',
      /Secret tge-mistakes\/key-of-keyless does not exist; fix: /,
    );
    await tells(
      'aigatewayroute/keyless',
      'ResolvedRefs',
      'BackendNotReady',
      /AIBackend tge-mistakes\/keyless is not valid; fix: /,
    );
    await apply([{ ...secret, stringData: { misspelt: 'sk-secret' } }]);
    await tells(
      'aibackend/keyless',
      'ResolvedRefs',
      'InvalidSecret',
      /has no key apiKey; fix: set apiKey in the Secret/,
    );
    await apply([secret]);
    await serves('keyless');
    assert.equal(
      (await world.provider.seen()).filter(({ headers }) => headers['authorization'] === `Bearer ${keyOf('keyless')}`)
        .length,
      1,
    );
  });

  it('backends with a forbidden destination are refused', async () => {
    const [secret, backend] = backendOf(NAMESPACE, 'forbidden', 'OpenAI', world.provider.name, []) as [
      Document,
      Document,
    ];
    const leadsTo = (name: string) => ({
      ...backend,
      spec: {
        ...(backend['spec'] as Document),
        endpoint: { type: 'Hostname', hostname: { name, port: 443 }, tls: { mode: 'Disabled' } },
      },
    });
    await apply([secret, leadsTo('169.254.169.254'), route('forbidden', { name: 'forbidden' })]);
    await tells(
      'aibackend/forbidden',
      'Accepted',
      'DestinationNotAllowed',
      /169\.254\.169\.254 is not allowed: a link-local address/,
    );
    for (const name of ['kubernetes.default.svc', 'kubernetes.default', await kubernetesAddress()]) {
      await apply([leadsTo('api.example.com')]);
      await told('aibackend/forbidden', 'ResolvedRefs', 'ResolvedRefs');
      await apply([leadsTo(name)]);
      await tells(
        'aibackend/forbidden',
        'ResolvedRefs',
        'RefNotPermitted',
        /Service default\/kubernetes is in another/,
      );
    }
  });

  it('a private key in place of a CA certificate is not published', async () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const [secret, backend] = backendOf(NAMESPACE, 'authority', 'OpenAI', world.provider.name, []) as [
      Document,
      Document,
    ];
    const tls = { mode: 'CustomCA', caCertificateRef: { kind: 'Secret', name: 'web-tls', key: 'tls.key' } };
    const endpoint = { type: 'Hostname', hostname: { name: 'api.example.com', port: 443 }, tls };
    const web = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'web-tls', namespace: NAMESPACE },
      stringData: { 'tls.key': pem },
    };
    await apply([
      secret,
      web,
      { ...backend, spec: { ...(backend['spec'] as Document), endpoint } },
      route('authority', { name: 'authority' }),
    ]);
    await tells(
      'aibackend/authority',
      'ResolvedRefs',
      'InvalidSecret',
      /has PEM blocks other than certificates under key tls\.key/,
    );
    const maps = await kubectl('-n', NAMESPACE, 'get', 'configmaps', '-o', 'json');
    assert.ok(!maps.includes('PRIVATE KEY'));
  });

  it('a backend in another namespace is reported until both sides allow it', async () => {
    const far = remoteBackendOf(OTHER, 'far', 'OpenAI', world.provider.host, []);
    await apply([namespaceOf(OTHER), ...far, route('far', { name: 'far', namespace: OTHER })]);
    await tells(
      'aigatewayroute/far',
      'ResolvedRefs',
      'RefNotPermitted',
      /fix: create a ReferenceGrant in namespace tge-mistakes-other from AIGatewayRoute in namespace tge-mistakes to AIBackend far/,
    );
    await apply([grant()]);
    await tells(
      'aigatewayroute/far',
      'ResolvedRefs',
      'BackendNotAllowed',
      /fix: allow namespace tge-mistakes-other in allowedRoutes.namespaces of the listener/,
    );
    await apply([openGatewayOf(NAMESPACE)]);
    await serves('far');
    await kubectl('-n', OTHER, 'delete', 'referencegrant', 'chat');
    await told('aigatewayroute/far', 'ResolvedRefs', 'RefNotPermitted');
    await waitFor(
      'refusal',
      () =>
        ask('model-of-far').then(
          () => false,
          () => true,
        ),
      5_000,
    );
  });
});

function kubernetesAddress(): Promise<string> {
  return kubectl('-n', 'default', 'get', 'service', 'kubernetes', '-o', 'jsonpath={.spec.clusterIP}');
}

function grant(): Document {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1beta1',
    kind: 'ReferenceGrant',
    metadata: { name: 'chat', namespace: OTHER },
    spec: {
      from: [{ group: 'tallygate.dev', kind: 'AIGatewayRoute', namespace: NAMESPACE }],
      to: [{ group: 'tallygate.dev', kind: 'AIBackend', name: 'far' }],
    },
  };
}

describe('conflicts', () => {
  it('of two routes with one model, the older serves it and the other is Conflicted', async () => {
    const second = {
      name: 'all',
      models: [MODEL, 'model-of-second'],
      backendRefs: [{ name: 'late', model: 'second' }],
    };
    await apply([routeOf(NAMESPACE, 'second', [second])]);
    await tells('aigatewayroute/second', 'Conflicted', 'RulesOverlap', /gpt-4o-mini.*chat/);
    await told('aigatewayroute/chat', 'Conflicted', 'NoConflicts');
    await serves('second');
    await world.provider.forget();
    await ask(MODEL);
    const bodies = (await world.provider.seen()).map(({ body }) => JSON.parse(body).model);
    assert.ok(!bodies.includes('second'), bodies.join());
  });

  it('two quota policies on one route both apply', async () => {
    const generous = quotaPolicy('generous', 'second', [teamQuota('many', 'Requests', 1000)]);
    const strict = quotaPolicy('strict', 'second', [teamQuota('one', 'Requests', 1)]);
    await apply(inNamespace(NAMESPACE, [generous, strict]));
    for (const name of ['generous', 'strict']) {
      await told(`aiquotapolicy/${name}`, 'Enforcing', 'Enforcing');
    }
    const { message } = await told('aigatewayroute/second', 'tallygate.dev/AIQuotaPolicyAffected', 'PolicyAffected');
    assert.match(message, /tge-mistakes\/generous, tge-mistakes\/strict/);
    await ask('model-of-second', { 'x-team': 'red' });
    const refused = await errorOf(ask('model-of-second', { 'x-team': 'red' }));
    assert.ok(refused instanceof OpenAI.RateLimitError, String(refused));
  });
});

describe('a quota policy without effect is not accepted when', () => {
  const quotas = [teamQuota('requests', 'Requests', 1)];
  const policy = (name: string, targetRef: Document) =>
    apply(
      inNamespace(NAMESPACE, [
        quotaPolicy(name, '', quotas, {
          targetRefs: [{ group: 'tallygate.dev', kind: 'AIGatewayRoute', ...targetRef }],
        }),
      ]),
    );

  it('its route does not exist', async () => {
    await policy('lost', { name: 'nowhere' });
    await tells(
      'aiquotapolicy/lost',
      'Accepted',
      'TargetNotFound',
      /AIGatewayRoute tge-mistakes\/nowhere does not exist, so the policy has no effect there; fix: create it/,
    );
  });

  it('its Gateway does not exist', async () => {
    await policy('gone', { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'nowhere' });
    await tells('aiquotapolicy/gone', 'Accepted', 'TargetNotFound', /Gateway tge-mistakes\/nowhere does not exist/);
  });

  it('its section does not exist', async () => {
    await policy('misspelt', { name: 'chat', sectionName: 'opennai' });
    await tells(
      'aiquotapolicy/misspelt',
      'Accepted',
      'TargetNotFound',
      /has no rule opennai, .*; fix: use one of openai, claude/,
    );
  });

  it('no backend serves its rule', async () => {
    await apply([route('empty', { name: 'absent' })]);
    await policy('idle', { name: 'empty' });
    await tells(
      'aiquotapolicy/idle',
      'Accepted',
      'NoEffect',
      /no rule of AIGatewayRoute tge-mistakes\/empty has a usable backend/,
    );
  });
});

it('a changed key reaches the provider without a restart', async () => {
  const running = async () => {
    const own = await proxyPods(NAMESPACE, 'ai');
    const { items } = await get('pods', '-n', 'tallygate-system');
    // biome-ignore lint/suspicious/noExplicitAny: tests read pods.
    return [...own, ...items].flatMap((pod: any) =>
      [...(pod.status.initContainerStatuses ?? []), ...pod.status.containerStatuses].map(
        ({ containerID }) => `${pod.metadata.uid} ${containerID}`,
      ),
    );
  };
  const before = await running();
  const [secret] = backendOf(NAMESPACE, 'openai', 'OpenAI', '', []) as [Document];
  await apply([{ ...secret, stringData: { apiKey: 'sk-new-0123456789' } }]);
  const keys = async () => (await world.provider.seen()).map(({ headers }) => headers['authorization']);
  await waitFor('new key', async () => (await keys()).at(-1) === 'Bearer sk-new-0123456789', 10_000);
  assert.deepEqual(
    new Set(await keys()),
    new Set([`Bearer ${keyOf('openai')}`, `Bearer ${keyOf('late')}`, 'Bearer sk-new-0123456789']),
  );
  assert.deepEqual(await running(), before);
});

it('the valid route has answered every request', async () => {
  steady.stop = true;
  await steady.done;
  assert.deepEqual(steady.failures, []);
  assert.ok(steady.count > 50, `${steady.count} requests`);
});
