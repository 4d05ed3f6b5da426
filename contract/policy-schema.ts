/**
 * Validates a policy where it enters the data plane, and refuses anything unknown: a limit type,
 * enum value or field of a newer program would silently limit nothing if it were ignored.
 */
import { z } from 'zod';
import { accessPolicy, apiKeyShard, signIn } from './access-policy-schema.ts';
import { contentPolicy } from './content-schema.ts';
import { count, type Fields, text } from './fields.ts';
import { guardrailPolicy } from './guardrails-schema.ts';
import {
  type AmountOverride,
  type AttemptRoutes,
  type AttemptTarget,
  type BackendPolicy,
  type CostLimit,
  type CountLimit,
  type Failover,
  type HeaderMatch,
  type KeyPart,
  type LabelSource,
  type Limit,
  type ModelFacts,
  openAiDialects,
  type Passthrough,
  POLICY_FORMAT_VERSION,
  type Quota,
  type RequestLabel,
  type Rule,
  type Target,
  type Tokenizer,
  type WeightedLimit,
  type Window,
} from './policy.ts';
import { isTimeZone } from './time-zone.ts';
import type { ModelPrices, PriceChange, PriceTier, ServiceTierPrices, TokenKind, TokenWeight } from './tokens.ts';
import { MAX_COEFFICIENT, MAX_DIVISOR, WEIGHTED_UNITS } from './weight.ts';

const headerMatch = z.strictObject({
  name: text,
  type: z.enum(['Exact', 'RegularExpression']),
  value: z.string(),
} satisfies Fields<HeaderMatch>);

const target = z.strictObject({
  id: text,
  backend: text,
  model: text.exactOptional(),
  weight: count,
  priority: count,
} satisfies Fields<Target>);

const attemptTarget = z.strictObject({
  id: text,
  rewrite: z.strictObject({ from: text, to: text }).exactOptional(),
} satisfies Fields<AttemptTarget>);

const attemptRoutes = z.strictObject({
  route: text,
  timedRoute: text.exactOptional(),
  targets: z.array(attemptTarget).min(2),
} satisfies Fields<AttemptRoutes>);

const failover = z.strictObject({
  on: z.array(z.enum(['ConnectFailure', '5xx', 'RateLimited', 'FirstTokenTimeout'])).min(1),
  attempts: count,
  cooldownMs: count,
  withinRequest: attemptRoutes.exactOptional(),
} satisfies Fields<Failover>);

const rule = z.strictObject({
  route: text,
  name: text,
  models: z.array(text).min(1),
  headers: z.array(headerMatch),
  targets: z.array(target),
  quotas: z.array(text),
  access: z.array(text),
  guardrails: z.array(text).min(1).exactOptional(),
  content: z.array(text).min(1).exactOptional(),
  requestLimits: z.strictObject({ inputTokens: count.exactOptional(), outputTokens: count.exactOptional() }),
  maxRequestBodyBytes: count,
  firstTokenTimeoutMs: count.exactOptional(),
  unsupported: z.literal('Drop').exactOptional(),
  failover: failover.exactOptional(),
  affinity: z.literal('Session').exactOptional(),
  loadBalancer: z.enum(['LeastCost', 'LeastLatency']).exactOptional(),
} satisfies Fields<Rule>);

const passthrough = z.strictObject({
  method: text,
  path: text,
  route: text,
  rule: text,
  target: text,
  quotas: z.array(text),
  access: z.array(text),
  guardrails: z.array(text).min(1).exactOptional(),
  maxRequestBodyBytes: count.exactOptional(),
} satisfies Fields<Passthrough>);

const tokenizer = z.strictObject({
  encoding: z.enum(['Auto', 'o200k_base', 'o200k_harmony', 'cl100k_base']),
  factorPercent: count.exactOptional(),
} satisfies Fields<Tokenizer>);

const perKind = <T extends z.ZodType>(value: T) =>
  z.strictObject({
    input: value.exactOptional(),
    output: value.exactOptional(),
    cachedInput: value.exactOptional(),
    cacheWriteInput: value.exactOptional(),
    cacheWrite1hInput: value.exactOptional(),
    reasoningOutput: value.exactOptional(),
    audioInput: value.exactOptional(),
    audioOutput: value.exactOptional(),
    imageInput: value.exactOptional(),
    imageOutput: value.exactOptional(),
  } satisfies Fields<Record<TokenKind, unknown>>);

const tokenPrices = perKind(count);

const priceTier = {
  perMillionTokens: tokenPrices,
  longContext: z.strictObject({ aboveInputTokens: count, perMillionTokens: tokenPrices }).exactOptional(),
} satisfies Fields<PriceTier>;

const modelPrices = z.strictObject({
  ...priceTier,
  currency: text,
  perRequest: count.exactOptional(),
  serviceTiers: z
    .array(z.strictObject({ ...priceTier, name: text } satisfies Fields<ServiceTierPrices>))
    .min(1)
    .exactOptional(),
  catalog: text.exactOptional(),
} satisfies Fields<ModelPrices>);

const priceChange = z.strictObject({ fromMs: count, prices: modelPrices } satisfies Fields<PriceChange>);

const modelFacts = z.strictObject({
  name: text,
  maxOutputTokens: count.exactOptional(),
  contextTokens: count.exactOptional(),
  reasoningTokens: z.enum(['Auto', 'Billed', 'None']),
  prices: modelPrices.exactOptional(),
  priceChanges: z.array(priceChange).min(1).exactOptional(),
} satisfies Fields<ModelFacts>);

const labelSource: z.ZodType<LabelSource> = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('Value'), value: text }),
  z.strictObject({ type: z.literal('Route') }),
  z.strictObject({ type: z.literal('Tenant') }),
  z.strictObject({ type: z.literal('User') }),
  z.strictObject({ type: z.literal('Group') }),
  z.strictObject({ type: z.literal('APIKey') }),
  z.strictObject({ type: z.literal('Claim'), claim: text }),
]);

const requestLabel = z.strictObject({ name: text, source: labelSource } satisfies Fields<RequestLabel>);

const backend = z.strictObject({
  name: text,
  schema: z.enum([
    'OpenAI',
    'Anthropic',
    'HuggingFaceTGI',
    'AWSBedrock',
    'GoogleGemini',
    'GCPVertexAI',
    'AzureOpenAI',
    'Cohere',
  ]),
  dialect: z.enum(openAiDialects).exactOptional(),
  azureApiVersion: text.exactOptional(),
  tokenizer,
  models: z.array(modelFacts),
  requestLabels: z.array(requestLabel).min(1).exactOptional(),
} satisfies Fields<BackendPolicy>);

const window: z.ZodType<Window> = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('Calendar'),
    unit: z.enum(['Minute', 'Hour', 'Day', 'Week', 'Month']),
    timeZone: text.refine(isTimeZone, 'not a known time zone'),
  }),
  z.strictObject({ type: z.literal('Sliding'), durationMs: z.int().min(1) }),
  z.strictObject({ type: z.literal('Lifetime') }),
  z.strictObject({ type: z.literal('None') }),
]);

const keyPart: z.ZodType<KeyPart> = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('Header'), name: text }),
  z.strictObject({ type: z.literal('Model') }),
  z.strictObject({ type: z.literal('Route') }),
  z.strictObject({ type: z.literal('Tenant') }),
  z.strictObject({ type: z.literal('User') }),
  z.strictObject({ type: z.literal('Group') }),
  z.strictObject({ type: z.literal('APIKey') }),
  z.strictObject({ type: z.literal('Claim'), claim: text }),
]);

const MAX_FACTOR = MAX_COEFFICIENT * WEIGHTED_UNITS * MAX_DIVISOR;

const weightFactor = z.int().min(-MAX_FACTOR).max(MAX_FACTOR);

const tokenWeight = z.strictObject({
  perToken: perKind(weightFactor),
  constant: weightFactor,
  divisor: z.int().min(1).max(MAX_DIVISOR),
} satisfies Fields<TokenWeight>);

const limit: z.ZodType<Limit> = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.enum(['Requests', 'InputTokens', 'OutputTokens', 'TotalTokens', 'ConcurrentRequests']),
    amount: count,
  } satisfies Fields<CountLimit>),
  z.strictObject({
    type: z.literal('Cost'),
    amount: count,
    currency: text,
    unpriced: z.enum(['Allow', 'Refuse']),
  } satisfies Fields<CostLimit>),
  z.strictObject({
    type: z.literal('WeightedTokens'),
    amount: count,
    weight: tokenWeight,
  } satisfies Fields<WeightedLimit>),
]);

const override = z.strictObject({ when: text, amount: count } satisfies Fields<AmountOverride>);

const quota = z.strictObject({
  id: text,
  limit,
  window,
  key: z.array(keyPart),
  overrides: z.array(override).min(1).exactOptional(),
  when: text.exactOptional(),
  alertAt: z.array(count).min(1).exactOptional(),
  onMissingKey: z.enum(['Refuse', 'Shared']),
  mode: z.enum(['Enforce', 'Shadow']),
  queueTimeoutMs: count,
  unbounded: z.enum(['Allow', 'Refuse']),
  onJournalLoss: z.enum(['FailClosed', 'FailOpen']),
  onStoreLoss: z.enum(['FailClosed', 'FailOpen', 'Degrade']),
  unmetered: z.enum(['Allow', 'Refuse']),
  onAbandon: z.enum(['Hold', 'Estimate']),
} satisfies Fields<Quota>);

/**
 * A part of a virtual host. Parts with the same `virtualHost` number belong together, in order.
 * Rules and passthrough are indexes into those of the whole policy.
 */
const virtualHost = z.strictObject({
  virtualHost: count,
  routeNames: z.array(text),
  rules: z.array(count),
  passthrough: z.array(count),
  access: z.array(text).exactOptional(),
  signIn: signIn.exactOptional(),
});

/** The first line; `lines` is the number of lines that follow, to detect truncated text. */
const head = z.strictObject({
  formatVersion: z.literal(POLICY_FORMAT_VERSION),
  version: text,
  lines: count,
});

/** Each line is an object with one member, whose name is the kind of the line. */
const lineSchemas = {
  policy: head,
  backend,
  quota,
  accessPolicy,
  apiKeyShard,
  guardrailPolicy,
  contentPolicy,
  rule,
  passthrough,
  virtualHost,
} as const;

type LineKind = keyof typeof lineSchemas;
export type PolicyLine = {
  [K in LineKind]: { readonly kind: K; readonly value: z.output<(typeof lineSchemas)[K]> };
}[LineKind];

/** Validates one line, parsed from JSON. Throws an error that names the path of the fault. */
export function checkedLine(line: unknown): PolicyLine {
  const [[kind, value] = ['', undefined], ...others] = Object.entries(Object(line));
  if (others.length > 0 || !(kind in lineSchemas)) {
    throw new Error(`unknown kind of line: ${[kind, ...others.map(([name]) => name)].join(', ') || 'empty'}`);
  }
  const format = kind === 'policy' ? Object(value).formatVersion : POLICY_FORMAT_VERSION;
  if (format !== POLICY_FORMAT_VERSION) {
    throw new Error(`the policy has format ${format}; this program reads format ${POLICY_FORMAT_VERSION}`);
  }
  const { data, error } = lineSchemas[kind as LineKind].safeParse(value);
  if (error === undefined) {
    return { kind, value: data } as PolicyLine;
  }
  const [issue] = error.issues;
  const path = (issue?.path ?? []).reduce<string>(
    (made, each) => made + (typeof each === 'number' ? `[${each}]` : `.${String(each)}`),
    kind,
  );
  throw new Error(`${path}${nameOf(value)}: ${issue?.message}`);
}

/** Names the rule, backend or quota, as far as the object itself has a name. */
function nameOf(value: unknown): string {
  const { id, name, route } = Object(value);
  const names = [id ?? route, id === undefined ? name : undefined].filter((each) => typeof each === 'string');
  return names.length === 0 ? '' : ` of ${names.join('/')}`;
}
