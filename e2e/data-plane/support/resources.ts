/**
 * Kubernetes documents as users write them for `tallygate run`. JSON is YAML, so each document is
 * plain data.
 */

export type Document = Readonly<Record<string, unknown>>;

const API = 'tallygate.dev/v1alpha1';
const SECRET = 'provider-key';

/** The provider's key, which only the provider may see. */
export const PROVIDER_KEY = 'sk-of-the-provider-0123456789';

export interface BackendOptions {
  readonly schema?:
    | 'OpenAI'
    | 'Anthropic'
    | 'HuggingFaceTGI'
    | 'AWSBedrock'
    | 'AzureOpenAI'
    | 'GCPVertexAI'
    | 'GoogleGemini'
    | 'Cohere';
  readonly port: number;
  readonly models?: readonly Document[];
  readonly more?: Document;
}

export function gateway(port: number): readonly Document[] {
  return [
    {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'Gateway',
      metadata: { name: 'ai', namespace: 'default' },
      spec: { gatewayClassName: 'tallygate', listeners: [{ name: 'http', port, protocol: 'HTTP' }] },
    },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: SECRET, namespace: 'default' },
      stringData: { apiKey: PROVIDER_KEY },
    },
  ];
}

export function backend(name: string, options: BackendOptions): Document {
  return {
    apiVersion: API,
    kind: 'AIBackend',
    metadata: { name, namespace: 'default' },
    spec: {
      schema: options.schema ?? 'OpenAI',
      endpoint: { type: 'Hostname', hostname: { name: '127.0.0.1', port: options.port }, tls: { mode: 'Disabled' } },
      credential: { type: 'APIKey', apiKey: { secretRef: { name: SECRET, key: 'apiKey' } } },
      ...(options.models && { models: options.models }),
      ...options.more,
    },
  };
}

export interface RuleOptions {
  readonly name: string;
  readonly models: readonly string[];
  readonly backendRefs: readonly Document[];
  readonly more?: Document;
}

export function route(name: string, rules: readonly RuleOptions[], more: Document = {}): Document {
  return {
    apiVersion: API,
    kind: 'AIGatewayRoute',
    metadata: { name, namespace: 'default' },
    spec: {
      parentRefs: [{ name: 'ai' }],
      rules: rules.map(({ more: ruleMore, ...rule }) => ({ ...rule, ...ruleMore })),
      ...more,
    },
  };
}

export function quotaPolicy(
  name: string,
  routeName: string,
  quotas: readonly Document[],
  more: Document = {},
): Document {
  return {
    apiVersion: API,
    kind: 'AIQuotaPolicy',
    metadata: { name, namespace: 'default' },
    spec: {
      targetRefs: [{ group: 'tallygate.dev', kind: 'AIGatewayRoute', name: routeName }],
      ...(quotas.length > 0 && { quotas }),
      ...more,
    },
  };
}

/** Returns a quota with one bucket per value of the header `x-team`. */
export function teamQuota(name: string, type: string, amount: number, more: Document = {}): Document {
  return {
    name,
    limit: { type, amount },
    window: { type: 'Lifetime' },
    key: [{ type: 'Header', header: { name: 'x-team' } }],
    onMissingKey: 'Refuse',
    ...more,
  };
}

export function yamlOf(documents: readonly Document[]): string {
  return documents.map((document) => JSON.stringify(document)).join('\n---\n');
}
