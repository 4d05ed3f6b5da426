/** A gateway, and one request of each kind, with the spans that each must have. */
import { randomBytes } from 'node:crypto';
import { call, open } from '../../data-plane/support/client.ts';
import { type Gateway, startGateway } from '../../data-plane/support/gateway.ts';
import { type Provider, startProvider } from '../../data-plane/support/provider.ts';
import { backend, type Document, quotaPolicy, route, teamQuota } from '../../data-plane/support/resources.ts';
import { waitFor } from '../../data-plane/support/wait.ts';
import { CLAUDE, MODEL } from '../../data-plane/support/world.ts';

export interface SentRequest {
  readonly kind: string;
  readonly traceId: string;
  /** The span of the client. */
  readonly parentSpanId: string;
}

export interface MixedWorld {
  readonly gateway: Gateway;
  readonly provider: Provider;
  /** Sends a request of each kind at the same time, this often. */
  send(rounds: number): Promise<readonly SentRequest[]>;
  stop(): Promise<void>;
}

interface RequestKind {
  readonly path?: string;
  readonly body: Document;
  readonly mock?: object;
  /** Ends the request before its response has ended. */
  readonly leaves?: boolean;
  /** Each request has a budget of its own. */
  readonly status: number;
  /** The children of its first span, sorted, and `error.type` of the first span. */
  readonly spans: readonly string[];
  readonly error?: string;
}

const say = (content: string) => [{ role: 'user', content }];
const chat = (model: string, more: Document = {}): Document => ({ model, messages: say('Hello'), ...more });
const attempts = (count: number, name = 'chat') => ['admission', ...Array.from({ length: count }, () => name)];

/** The text that a guardrail masks and a policy keeps. */
export const MASKED_TEXT = 'kept words of jane.doe@example.com';
const CARD = '4111 1111 1111 1111';

export const requestKinds: Readonly<Record<string, RequestKind>> = {
  json: { body: chat('plain'), mock: { tokens: 5 }, status: 200, spans: attempts(1) },
  stream: { body: chat('plain', { stream: true }), mock: { tokens: 20 }, status: 200, spans: attempts(1) },
  messages: {
    path: '/v1/messages',
    body: chat('claude', { max_tokens: 50 }),
    mock: { tokens: 5 },
    status: 200,
    spans: attempts(1),
  },
  converted: { body: chat('claude', { stream: true }), mock: { tokens: 5 }, status: 200, spans: attempts(1) },
  embeddings: {
    path: '/v1/embeddings',
    body: { model: 'plain', input: 'Hello' },
    status: 200,
    spans: attempts(1, 'embeddings'),
  },
  models: { path: '/v1/models', body: {}, status: 200, spans: attempts(0) },
  refused: {
    body: chat('plain', { messages: say('word '.repeat(3000)) }),
    status: 429,
    spans: attempts(0),
    error: 'quota_exceeded',
  },
  cut: { body: chat('plain', { stream: true }), mock: { tokens: 5000, paceMs: 0 }, status: 200, spans: attempts(1) },
  unknown: { body: chat('no-such-model'), status: 404, spans: attempts(0), error: 'model_not_found' },
  failed: { body: chat('plain'), mock: { status: 500 }, status: 500, spans: attempts(1), error: '500' },
  'failed-over': { body: chat('failing'), mock: { tokens: 5 }, status: 200, spans: attempts(2) },
  masked: { body: chat('kept', { messages: say(MASKED_TEXT) }), mock: { echo: true }, status: 200, spans: attempts(1) },
  blocked: {
    body: chat('kept', { messages: say(`my card is ${CARD}`) }),
    status: 400,
    spans: attempts(0),
    error: 'content_blocked',
  },
  left: {
    body: chat('plain', { stream: true }),
    mock: { tokens: 1000, paceMs: 20 },
    leaves: true,
    status: 200,
    spans: attempts(1),
    error: 'client_left',
  },
};

function documents(port: number, failingPort: number): readonly Document[] {
  const models = [{ name: '*', maxOutputTokens: 4096 }];
  const openai = { name: 'openai', model: MODEL };
  const api = 'tallygate.dev/v1alpha1';
  const ofRule = {
    targetRefs: [{ group: 'tallygate.dev', kind: 'AIGatewayRoute', name: 'chat', sectionName: 'kept' }],
  };
  const rule = (name: string, detector: string, type: string) => ({
    name,
    phases: ['Request'],
    detect: { type: 'Builtin', builtin: { detectors: [detector] } },
    action: { type },
  });
  return [
    backend('openai', { port, models }),
    backend('failing', { port: failingPort, models }),
    backend('anthropic', { schema: 'Anthropic', port, models }),
    route('chat', [
      { name: 'plain', models: ['plain'], backendRefs: [openai] },
      { name: 'claude', models: ['claude'], backendRefs: [{ name: 'anthropic', model: CLAUDE }] },
      { name: 'kept', models: ['kept'], backendRefs: [openai] },
      {
        name: 'failing',
        models: ['failing'],
        backendRefs: [
          { name: 'failing', model: MODEL },
          { ...openai, priority: 1 },
        ],
        more: { failover: { cooldown: '1ms' } },
      },
    ]),
    quotaPolicy('teams', 'chat', [teamQuota('tokens', 'TotalTokens', 500)]),
    {
      apiVersion: api,
      kind: 'AIGuardrailPolicy',
      metadata: { name: 'company', namespace: 'default' },
      spec: { ...ofRule, rules: [rule('addresses', 'Email', 'Mask'), rule('cards', 'CreditCard', 'Block')] },
    },
    {
      apiVersion: api,
      kind: 'AIContentPolicy',
      metadata: { name: 'reviews', namespace: 'default' },
      spec: { ...ofRule, destinations: ['OTLPLogs'] },
    },
  ];
}

export async function startMixedWorld(environment: Readonly<Record<string, string>>): Promise<MixedWorld> {
  const [provider, failing] = await Promise.all([startProvider(), startProvider({ status: 503 })]);
  const gateway = await startGateway(documents(provider.port, failing.port), { environment });
  return {
    gateway,
    provider,
    async send(rounds) {
      const kinds = Array.from({ length: rounds }, () => Object.keys(requestKinds)).flat();
      const before = gateway.records.length;
      const sent = await Promise.all(kinds.map((kind) => sendOne(gateway.url, kind)));
      await waitFor('the end of all requests', () => gateway.records.length >= before + sent.length, 15_000);
      return sent;
    },
    async stop() {
      await gateway.stop();
      await Promise.all([provider.stop(), failing.stop()]);
    },
  };
}

async function sendOne(url: string, kind: string): Promise<SentRequest> {
  const { path = '/v1/chat/completions', body, mock, leaves, status } = requestKinds[kind]!;
  const sent = { kind, traceId: randomBytes(16).toString('hex'), parentSpanId: randomBytes(8).toString('hex') };
  const headers = {
    'x-team': sent.traceId,
    traceparent: `00-${sent.traceId}-${sent.parentSpanId}-01`,
    ...(mock && { 'x-mock': JSON.stringify(mock) }),
  };
  const isRead = path === '/v1/models';
  const target = `${url}${path}`;
  let answered: number;
  if (leaves === true) {
    const request = await open(target, body, { headers });
    request.abort();
    answered = request.status;
  } else {
    answered = (await call(target, isRead ? undefined : body, { headers })).status;
  }
  if (answered !== status) {
    throw new Error(`${kind}: ${answered} instead of ${status}`);
  }
  return sent;
}
