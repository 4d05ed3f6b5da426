/**
 * The names of metrics and attributes: public API, listed in docs/reference. Names with `gen_ai.`
 * and their bucket boundaries follow OpenTelemetry's conventions for generative AI
 * (https://github.com/open-telemetry/semantic-conventions-genai).
 */
import type { Description } from '../../runtime/metric-table.ts';

export const attribute = {
  operation: 'gen_ai.operation.name',
  provider: 'gen_ai.provider.name',
  requestModel: 'gen_ai.request.model',
  responseModel: 'gen_ai.response.model',
  tokenType: 'gen_ai.token.type',
  modality: 'gen_ai.token.modality',
  errorType: 'error.type',
  route: 'tallygate.route',
  rule: 'tallygate.rule',
  backend: 'tallygate.backend',
  source: 'tallygate.source',
  decision: 'tallygate.decision',
  reason: 'tallygate.reason',
  quota: 'tallygate.quota',
  quotaKey: 'tallygate.quota.key',
  quotaMode: 'tallygate.quota.mode',
  threshold: 'tallygate.quota.threshold',
  cause: 'tallygate.overdraft.cause',
  failure: 'tallygate.failure',
  failoverCause: 'tallygate.failover.cause',
  accessMethod: 'tallygate.access.method',
  tenant: 'tallygate.tenant',
  guardrail: 'tallygate.guardrail',
  guardrailFinding: 'tallygate.guardrail.finding',
  guardrailAction: 'tallygate.guardrail.action',
  currency: 'tallygate.currency',
  outcome: 'tallygate.outcome',
  direction: 'network.io.direction',
} as const;

/** The values of `gen_ai.provider.name`; another schema has its own name. */
export const PROVIDER_NAMES: Readonly<Record<string, string>> = {
  OpenAI: 'openai',
  Anthropic: 'anthropic',
  HuggingFaceTGI: 'huggingface',
  AzureOpenAI: 'azure.ai.openai',
  AWSBedrock: 'aws.bedrock',
  GoogleGemini: 'gcp.gemini',
  GCPVertexAI: 'gcp.vertex_ai',
  Cohere: 'cohere',
};

/** The provider of requests that the gateway answers itself, of which most are refused. */
export const GATEWAY = 'tallygate';

/** In place of names that clients or providers choose freely. */
export const OTHER = 'other';

const describe = (name: string, unit: string, description: string): Description => ({ name, unit, description });

export const metric = {
  tokenUsage: describe('gen_ai.client.token.usage', '{token}', 'Input and output tokens of a request'),
  requestDuration: describe('gen_ai.server.request.duration', 's', 'Time from a request to the end of its response'),
  timeToFirstToken: describe('gen_ai.server.time_to_first_token', 's', 'Time from a request to the first token'),
  timePerOutputToken: describe(
    'gen_ai.server.time_per_output_token',
    's',
    'Time per output token after the first, of complete streams',
  ),
  operationDuration: describe(
    'gen_ai.client.operation.duration',
    's',
    'Time from a call of a backend to the end of its response',
  ),
  timeToFirstChunk: describe(
    'gen_ai.client.operation.time_to_first_chunk',
    's',
    'Time from a call of a backend to the first token of its stream',
  ),
  tokens: describe('tallygate.tokens', '{token}', 'Tokens by kind and source; some kinds are parts of others'),
  drift: describe(
    'tallygate.tokens.drift',
    '%',
    'Difference between the output tokens that Tallygate counted and those that the provider reported, in percent of the latter',
  ),
  cost: describe('tallygate.cost', '1', 'Cost of requests at models with prices, in the currency'),
  unmetered: describe('tallygate.requests.unmetered', '{request}', 'Requests whose tokens are unknown'),
  accessDecisions: describe('tallygate.access.decisions', '{request}', 'Decisions of the access policies on requests'),
  tenantTokens: describe('tallygate.tenant.tokens', '{token}', 'Input and output tokens of a tenant'),
  tenantCost: describe('tallygate.tenant.cost', '1', 'Cost of the requests of a tenant, in the currency'),
  guardrailFindings: describe('tallygate.guardrail.findings', '{finding}', 'What guardrails found, by type'),
  guardrailFailures: describe(
    'tallygate.guardrail.failures',
    '{failure}',
    'Texts that a guardrail could not examine, by reason',
  ),
  decisions: describe('tallygate.quota.decisions', '{request}', 'Decisions of the quotas on requests'),
  shadowRefused: describe(
    'tallygate.quota.shadow_refused',
    '{request}',
    'Requests that a quota in Shadow mode would have refused',
  ),
  queueDuration: describe(
    'tallygate.quota.wait',
    's',
    'Time that requests waited for other requests to release their holds',
  ),
  overdraft: describe('tallygate.overdraft.tokens', '{token}', 'Tokens charged past a limit, by cause'),
  overdraftCost: describe('tallygate.overdraft.cost', '1', 'Cost charged past a limit, in its currency, by cause'),
  backendFailures: describe(
    'tallygate.backend.failures',
    '{request}',
    'Requests that a backend did not answer completely, by failure',
  ),
  backendAttempts: describe(
    'tallygate.backend.attempts',
    '{attempt}',
    'Attempts of requests that failover sent to several backends, by why the next one was made',
  ),
  backendResting: describe(
    'tallygate.backend.resting',
    '1',
    '1 while at least one rule leaves a backend out after a failure, else 0',
  ),
  backendRequests: describe(
    'tallygate.backend.requests',
    '{request}',
    'Requests in flight that a backend serves or will serve',
  ),
  backendWaiting: describe(
    'tallygate.backend.requests.waiting',
    '{request}',
    'Those of them that wait for the holds of other requests before they go to the backend',
  ),
  backendTokens: describe(
    'tallygate.backend.tokens',
    '{token}',
    'Tokens in flight: what the requests that a backend serves hold of quotas on tokens or cost',
  ),
  alerts: describe('tallygate.quota.alerts', '{alert}', 'Thresholds of alertAt that what was spent of a key reached'),
  streamsCut: describe('tallygate.streams.cut', '{stream}', 'Streams that ended because their budget ended'),
  streamsOpen: describe('tallygate.streams.open', '{stream}', 'Requests in flight'),
  spansExported: describe('tallygate.spans.exported', '{span}', 'Spans that the trace collector has accepted'),
  spansDropped: describe(
    'tallygate.spans.dropped',
    '{span}',
    'Spans that were dropped because the trace collector did not accept them in time',
  ),
  recordsDropped: describe(
    'tallygate.records.dropped',
    '{record}',
    'Access lines that were dropped because nothing read them in time',
  ),
  quotaKeys: describe('tallygate.quota.keys', '{key}', 'Keys of a quota with units spent or held'),
  quotaKeysLimit: describe(
    'tallygate.quota.keys.limit',
    '{key}',
    'Number of keys from which on requests with new keys are refused',
  ),
  journalFails: describe('tallygate.journal.failing', '1', '1 while the quota journal cannot be written, else 0'),
  usageLost: describe(
    'tallygate.usage.lost',
    '{record}',
    'Usage records that were not kept, because too many waited to be written',
  ),
  contentExported: describe(
    'tallygate.content.exported',
    '{record}',
    'Records of prompts and answers that destinations have accepted',
  ),
  contentDropped: describe(
    'tallygate.content.dropped',
    '{record}',
    'Prompts and answers that were not kept although a content policy says so',
  ),
  usageExportsFailing: describe('tallygate.usage.exports.failing', '{target}', 'Targets that do not accept usage'),
  usageExportsDropped: describe(
    'tallygate.usage.exports.dropped',
    '{record}',
    'Usage records that a target will never receive, because it rejected them or was away for too long',
  ),
  storeExchanges: describe(
    'tallygate.quota_store.exchanges',
    '{exchange}',
    'Exchanges with the shared quota store, by outcome',
  ),
  storeDuration: describe(
    'tallygate.quota_store.exchange.duration',
    's',
    'Time until the shared quota store answered an exchange',
  ),
  storeLost: describe(
    'tallygate.quota_store.lost',
    '1',
    '1 while the shared quota store is lost, 0 while it is available; absent without one',
  ),
  storeLosses: describe('tallygate.quota_store.losses', '{loss}', 'How often the shared quota store was lost'),
  policyRefused: describe(
    'tallygate.policy.refused',
    '1',
    '1 while the newest policy is refused and the last good one is in force, else 0',
  ),
  quotaSpent: describe(
    'tallygate.quota.spent',
    '1',
    'Spent in the current window of a bucket: tokens, requests or a currency',
  ),
  quotaHeld: describe('tallygate.quota.held', '1', 'Held by requests in flight'),
  quotaLimit: describe('tallygate.quota.limit', '1', 'The limit of a bucket'),
  quotaOverdraft: describe('tallygate.quota.overdraft', '1', 'Spent past the limit of a bucket'),
  quotaExhaustedAt: describe(
    'tallygate.quota.exhausted_at',
    's',
    'Unix time at which a budget is spent at the average rate of its window so far; absent if not within the window',
  ),
  serverConnections: describe('tallygate.ext_proc.connections', '{connection}', 'Connections that Envoy has opened'),
  serverConnectionErrors: describe(
    'tallygate.ext_proc.connection_errors',
    '{connection}',
    'Connections that were closed after a protocol error',
  ),
  serverStreams: describe('tallygate.ext_proc.streams', '{stream}', 'Streams that Envoy has opened, one per request'),
  serverStreamsBroken: describe(
    'tallygate.ext_proc.streams.broken',
    '{stream}',
    'Streams that did not end in order, by reason',
  ),
  serverMessages: describe('tallygate.ext_proc.messages', '{message}', 'Messages from and to Envoy, by direction'),
  serverBytes: describe('tallygate.ext_proc.bytes', 'By', 'Bytes from and to Envoy, by direction'),
  serverUnsentBytes: describe('tallygate.ext_proc.unsent_bytes', 'By', 'Bytes that wait until Envoy accepts them'),
} as const;

/**
 * Names of the development version of the conventions
 * (https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/client-inference.md).
 */
export const latestMetric = {
  operationDuration: { ...metric.operationDuration, name: 'gen_ai.client.inference.duration' },
  timeToFirstChunk: { ...metric.timeToFirstChunk, name: 'gen_ai.client.inference.time_to_first_chunk' },
  inputTokens: describe('gen_ai.client.inference.usage.input_tokens', '{token}', 'Input tokens, with cached ones'),
  outputTokens: describe('gen_ai.client.inference.usage.output_tokens', '{token}', 'Output tokens, with reasoning'),
  cacheReadTokens: describe(
    'gen_ai.client.inference.usage.cache_read.input_tokens',
    '{token}',
    'Input tokens that were read from a cache of the provider',
  ),
  cacheWriteTokens: describe(
    'gen_ai.client.inference.usage.cache_write.input_tokens',
    '{token}',
    'Input tokens that were written to a cache of the provider',
  ),
  reasoningTokens: describe(
    'gen_ai.client.inference.usage.reasoning.output_tokens',
    '{token}',
    'Output tokens of reasoning',
  ),
} as const;

export const boundaries = {
  tokens: [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864],
  durationSeconds: [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92],
  firstTokenSeconds: [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
  tokenSeconds: [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5],
  storeSeconds: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
  driftPercent: [-50, -20, -10, -5, -2, -1, -0.5, 0, 0.5, 1, 2, 5, 10, 20, 50],
} as const;
