/**
 * A team's namespace with a Gateway, a simulated provider, backends and a route, for most test
 * files of the cluster.
 */
import type { Document } from '../../data-plane/support/resources.ts';
import { PROVIDER_KEY } from '../../data-plane/support/resources.ts';
import { apply, condition, waitUntil } from './kubectl.ts';
import { namespaceOf, removeNamespaces } from './namespaces.ts';
import { type ClusterProvider, startClusterProvider } from './provider.ts';
import { type Reached, reachGateway } from './reach.ts';

const API = 'tallygate.dev/v1alpha1';
export const LISTENER_PORT = 8080;

export interface ClusterWorld {
  readonly namespace: string;
  readonly provider: ClusterProvider;
  /** `http://HOST:PORT` of the Gateway. */
  readonly url: string;
  stop(): Promise<void>;
}

export function inNamespace(namespace: string, documents: readonly Document[]): readonly Document[] {
  return documents.map((each) => ({ ...each, metadata: { ...(each['metadata'] as Document), namespace } }));
}

export function gatewayOf(
  namespace: string,
  name = 'ai',
  gatewayClassName = 'tallygate',
  port = LISTENER_PORT,
): Document {
  const listeners = [{ name: 'http', port, protocol: 'HTTP' }];
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name, namespace },
    spec: { gatewayClassName, listeners },
  };
}

/** Returns a Gateway that allows routes from all namespaces. */
export function openGatewayOf(namespace: string): Document {
  const gateway = gatewayOf(namespace);
  const spec = gateway['spec'] as { readonly listeners: readonly Document[] };
  const allowedRoutes = { namespaces: { from: 'All' } };
  return { ...gateway, spec: { ...spec, listeners: spec.listeners.map((each) => ({ ...each, allowedRoutes })) } };
}

/** Returns a backend for a Service of the provider, with its Secret. */
export function backendOf(
  namespace: string,
  name: string,
  schema: 'OpenAI' | 'Anthropic' | 'HuggingFaceTGI',
  service: string,
  models: readonly Document[],
): readonly Document[] {
  const secret = `key-of-${name}`;
  return [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: secret, namespace },
      stringData: { apiKey: keyOf(name) },
    },
    {
      apiVersion: API,
      kind: 'AIBackend',
      metadata: { name, namespace },
      spec: {
        schema,
        endpoint: { type: 'Service', service: { name: service, port: 8080 } },
        credential: { type: 'APIKey', apiKey: { secretRef: { name: secret } } },
        models,
      },
    },
  ];
}

/**
 * Returns the same for a provider in another namespace, by its host name and with a
 * ReferenceGrant.
 */
export function remoteBackendOf(
  namespace: string,
  name: string,
  schema: 'OpenAI' | 'Anthropic' | 'HuggingFaceTGI',
  host: string,
  models: readonly Document[],
): readonly Document[] {
  const [secret, backend] = backendOf(namespace, name, schema, '', models) as [Document, Document];
  const endpoint = { type: 'Hostname', hostname: { name: host, port: 8080 }, tls: { mode: 'Disabled' } };
  const [service = '', there = ''] = host.split('.');
  const grant = {
    apiVersion: 'gateway.networking.k8s.io/v1beta1',
    kind: 'ReferenceGrant',
    metadata: { namespace: there, name: `${service}-to-${namespace}` },
    spec: {
      from: [{ group: 'tallygate.dev', kind: 'AIBackend', namespace }],
      to: [{ group: '', kind: 'Service', name: service }],
    },
  };
  return [
    secret,
    ...(there === namespace ? [] : [grant]),
    { ...backend, spec: { ...(backend['spec'] as Document), endpoint } },
  ];
}

/** Returns the key of a backend, which only its provider may receive. */
export function keyOf(backend: string): string {
  return `${PROVIDER_KEY}-${backend}`;
}

export function routeOf(namespace: string, name: string, rules: readonly Document[], gateway = 'ai'): Document {
  const metadata = { name, namespace };
  return { apiVersion: API, kind: 'AIGatewayRoute', metadata, spec: { parentRefs: [{ name: gateway }], rules } };
}

/** Waits until the route's status reports that every proxy enforces it. */
export async function waitUntilEnforcing(namespace: string, route: string, timeoutMs = 60_000): Promise<void> {
  const object = ['-n', namespace, `aigatewayroute/${route}`];
  await waitUntil(condition('parents', 'Enforcing', 'True'), object, timeoutMs);
}

/** Requires an installed Tallygate. `more`: further objects of the namespace. */
export async function startClusterWorld(namespace: string, more: readonly Document[] = []): Promise<ClusterWorld> {
  await removeNamespaces(namespace);
  await apply([namespaceOf(namespace), gatewayOf(namespace)]);
  const provider = await startClusterProvider(namespace);
  const rules = [
    { name: 'openai', models: ['gpt-4o-mini'], backendRefs: [{ name: 'openai' }] },
    { name: 'claude', models: ['claude-*'], backendRefs: [{ name: 'anthropic' }] },
  ];
  await apply([
    ...backendOf(namespace, 'openai', 'OpenAI', provider.name, [{ name: 'gpt-4o-mini', maxOutputTokens: 16_384 }]),
    ...backendOf(namespace, 'anthropic', 'Anthropic', provider.name, [{ name: 'claude-*', maxOutputTokens: 64_000 }]),
    routeOf(namespace, 'chat', rules),
    ...inNamespace(namespace, more),
  ]);
  await waitUntilEnforcing(namespace, 'chat');
  const gateway: Reached = await reachGateway(namespace, 'ai', LISTENER_PORT);
  return {
    namespace,
    provider,
    url: gateway.url,
    stop: async () => {
      gateway.close();
      provider.close();
      await removeNamespaces(namespace);
    },
  };
}
