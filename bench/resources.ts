/**
 * Tallygate's resources, as a user would write them: counting everywhere, one quota per rule. JSON
 * is YAML, so each document is plain data.
 */

const API = 'tallygate.dev/v1alpha1';

/** More than any run uses, so the quota counts and never refuses. */
const PLENTY_TOKENS = 1_000_000_000_000;
export const BUDGET_TOKENS = 20_000;
export const CUT_AFTER_TOKENS = 60;

/** Each model is a rule with its own quota, and a budget per `x-team`. */
export const LOAD_MODEL = 'gpt-4o-mini';
export const BUDGET_MODEL = 'gpt-4o-mini-budget';
export const CUT_MODEL = 'gpt-4o-mini-cut';

export function resources(gatewayPort: number, providerPort: number): string {
  return yaml([
    gateway(gatewayPort),
    backend('provider', 'OpenAI', providerPort, { models: [{ name: LOAD_MODEL, maxOutputTokens: 16_384 }] }),
    route([rule('load', LOAD_MODEL), rule('budget', BUDGET_MODEL), rule('cut', CUT_MODEL)]),
    quotaPolicy('load', 'TotalTokens', PLENTY_TOKENS, { type: 'Calendar', calendar: { unit: 'Day', timeZone: 'UTC' } }),
    quotaPolicy('budget', 'TotalTokens', BUDGET_TOKENS, { type: 'Lifetime' }),
    quotaPolicy('cut', 'OutputTokens', CUT_AFTER_TOKENS, { type: 'Lifetime' }),
  ]);
}

/**
 * High enough that short prompts are admitted uncounted, low enough that long ones are counted
 * first.
 */
const COUNTED_TOKENS = 1_500_000;
const NEAR_TOKENS = 200;

/**
 * For hostile bodies: prompts that are not counted, prompts that are counted to their end, and
 * responses near the end of a budget.
 */
export function hostileResources(gatewayPort: number, providerPort: number): string {
  const budgets = { plain: PLENTY_TOKENS, counted: COUNTED_TOKENS, near: NEAR_TOKENS };
  return yaml([
    gateway(gatewayPort),
    backend('provider', 'OpenAI', providerPort, { models: [{ name: LOAD_MODEL, maxOutputTokens: 16_384 }] }),
    route(Object.keys(budgets).map((model) => rule(model, model))),
    ...Object.entries(budgets).map(([name, amount]) => quotaPolicy(name, 'TotalTokens', amount, { type: 'Lifetime' })),
  ]);
}

/** For one budget in tokens that all requests share. */
export function budgetResources(gatewayPort: number, providerPort: number, tokens: number): string {
  return yaml([
    gateway(gatewayPort),
    backend('provider', 'OpenAI', providerPort, { models: [{ name: LOAD_MODEL, maxOutputTokens: 16_384 }] }),
    route([rule('budget', LOAD_MODEL)]),
    quotaPolicy('budget', 'TotalTokens', tokens, { type: 'Calendar', calendar: { unit: 'Day', timeZone: 'UTC' } }),
  ]);
}

/**
 * A rule for each way to a backend: as it is, converted, with failover that nothing needs, and with
 * a first backend that never works.
 */
export function conversionResources(gatewayPort: number, providerPort: number): string {
  const models = { models: [{ name: '*', maxOutputTokens: 16_384 }] };
  const failover = { cooldown: '1ms', attempts: 2 };
  const provider = { name: 'provider', model: LOAD_MODEL };
  const rules = [
    { name: 'plain', backendRefs: [provider] },
    { name: 'converted', backendRefs: [{ name: 'claude', model: 'claude-sonnet-4-5' }] },
    { name: 'failover', failover, backendRefs: [provider, { ...provider, name: 'spare', priority: 1 }] },
    {
      name: 'failing',
      failover,
      backendRefs: [
        { name: 'spare', model: 'unavailable' },
        { ...provider, priority: 1 },
      ],
    },
  ].map((each) => ({ ...each, models: [each.name] }));
  return yaml([
    gateway(gatewayPort),
    backend('provider', 'OpenAI', providerPort, models),
    backend('spare', 'OpenAI', providerPort, models),
    backend('claude', 'Anthropic', providerPort, models),
    route(rules),
    ...rules.map(({ name }) => quotaPolicy(name, 'TotalTokens', PLENTY_TOKENS, { type: 'Lifetime' })),
  ]);
}

/** For recorded responses: any model, at the API of its provider. */
export function replayResources(gatewayPort: number, providerPort: number): string {
  return yaml([
    gateway(gatewayPort),
    backend('anthropic', 'Anthropic', providerPort),
    backend('openai', 'OpenAI', providerPort),
    route([
      { name: 'anthropic', models: ['claude-*'], backendRefs: [{ name: 'anthropic' }] },
      { name: 'openai', models: ['*'], backendRefs: [{ name: 'openai' }] },
    ]),
  ]);
}

export interface AccessOptions {
  readonly issuer: string;
  /** The key set of the issuer, as JSON. */
  readonly jwks: string;
  readonly keys: number;
  readonly tenants: number;
}

export function benchKey(index: number): string {
  return `tg-bench-${String(index).padStart(24, '0')}`;
}

/** The resources of a load, with an access policy, API keys and a token's issuer. */
export function accessResources(gatewayPort: number, providerPort: number, options: AccessOptions): string {
  const keys = Array.from({ length: options.keys }, (_, index) => keySecret(index, options.tenants));
  return `${resources(gatewayPort, providerPort)}\n---\n${yaml([accessPolicy(options), ...keys])}`;
}

function keySecret(index: number, tenants: number): object {
  const annotations = {
    'tallygate.dev/tenant': `tenant-${index % tenants}`,
    'tallygate.dev/user': `user-${index}`,
    'tallygate.dev/groups': 'engineering',
  };
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { ...metadata(`key-${index}`), labels: { 'tallygate.dev/api-key': 'true' }, annotations },
    stringData: { apiKey: benchKey(index) },
  };
}

/** The resources of a load, with seven built-in detectors in requests and responses. */
export function guardrailResources(gatewayPort: number, providerPort: number): string {
  const names = ['CreditCard', 'IBAN', 'Email', 'Phone', 'USSocialSecurityNumber', 'IPAddress', 'Secret'];
  const phoneRegions = ['US', 'GB', 'DE', 'AT', 'FR', 'ES', 'IN', 'BR', 'CH', 'IT', 'NL'];
  const policy = {
    apiVersion: API,
    kind: 'AIGuardrailPolicy',
    metadata: metadata('guardrails'),
    spec: {
      targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'bench' }],
      rules: [
        {
          name: 'values',
          detect: { type: 'Builtin', builtin: { detectors: names, phoneRegions } },
          action: { type: 'Mask', mask: { restore: true } },
        },
      ],
    },
  };
  return `${resources(gatewayPort, providerPort)}\n---\n${yaml([policy])}`;
}

/** The resources of a load, with the whole content of each request kept without its values. */
export function contentResources(gatewayPort: number, providerPort: number): string {
  const policy = {
    apiVersion: API,
    kind: 'AIContentPolicy',
    metadata: metadata('content'),
    spec: {
      targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'bench' }],
      content: ['Prompt', 'Response'],
      destinations: ['OTLPLogs'],
      samplingPercent: 100,
      redact: { type: 'Builtin' },
    },
  };
  return `${resources(gatewayPort, providerPort)}\n---\n${yaml([policy])}`;
}

function accessPolicy({ issuer, jwks }: AccessOptions): object {
  const identity = { tenant: { claim: 'team' }, user: { claim: 'email' }, groups: { claim: 'groups' } };
  return {
    apiVersion: API,
    kind: 'AIAccessPolicy',
    metadata: metadata('access'),
    spec: {
      targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'bench' }],
      authenticate: [
        {
          name: 'keys',
          type: 'APIKey',
          apiKey: { secretSelector: { matchLabels: { 'tallygate.dev/api-key': 'true' } } },
        },
        {
          name: 'sso',
          type: 'JWT',
          jwt: { issuer, audiences: ['bench'], jwks: { type: 'Inline', inline: jwks }, identity },
        },
      ],
      allow: [
        { name: 'others', principals: [{ group: 'operations' }] },
        { name: 'all', principals: [{ authenticated: true }], models: ['gpt-*'], when: 'request.maxOutputTokens > 0' },
      ],
    },
  };
}

function yaml(documents: readonly object[]): string {
  return documents.map((document) => JSON.stringify(document)).join('\n---\n');
}

function gateway(port: number): object {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: metadata('bench'),
    spec: { gatewayClassName: 'tallygate', listeners: [{ name: 'http', port, protocol: 'HTTP' }] },
  };
}

function backend(name: string, schema: string, port: number, more: object = {}): object {
  const endpoint = { type: 'Hostname', hostname: { name: '127.0.0.1', port }, tls: { mode: 'Disabled' } };
  return { apiVersion: API, kind: 'AIBackend', metadata: metadata(name), spec: { schema, endpoint, ...more } };
}

function route(rules: readonly object[]): object {
  return {
    apiVersion: API,
    kind: 'AIGatewayRoute',
    metadata: metadata('chat'),
    spec: { parentRefs: [{ name: 'bench' }], rules },
  };
}

function metadata(name: string): object {
  return { name, namespace: 'default' };
}

function rule(name: string, model: string): object {
  return { name, models: [model], backendRefs: [{ name: 'provider', model: LOAD_MODEL }] };
}

function quotaPolicy(rule: string, type: string, amount: number, window: object): object {
  return {
    apiVersion: API,
    kind: 'AIQuotaPolicy',
    metadata: metadata(rule),
    spec: {
      targetRefs: [{ group: 'tallygate.dev', kind: 'AIGatewayRoute', name: 'chat', sectionName: rule }],
      quotas: [
        {
          name: 'tokens',
          limit: { type, amount },
          window,
          key: [{ type: 'Header', header: { name: 'x-team' } }],
          onMissingKey: 'Refuse',
        },
      ],
    },
  };
}
