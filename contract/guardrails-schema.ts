/** The schemas of the part of a policy that says which content may pass; see `policy-schema.ts`. */
import { z } from 'zod';
import { principal } from './access-policy-schema.ts';
import type { RedactionDetector } from './content.ts';
import { count, type Fields, text } from './fields.ts';
import {
  type BuiltinDetectors,
  builtinDetectorNames,
  type DetectorService,
  type GuardrailAction,
  type GuardrailDetector,
  type GuardrailPolicy,
  type GuardrailRule,
  guardrailScopes,
  type ModelJudgeSettings,
  type OpenAIModerationSettings,
  type PresidioSettings,
} from './guardrails.ts';

const score = z.number().min(0).max(1);

const service = z.strictObject({
  url: text,
  secret: text.exactOptional(),
  certificateAuthorities: text.exactOptional(),
  clientCertificate: z.strictObject({ chain: text, privateKey: text }).exactOptional(),
} satisfies Fields<DetectorService>);

const ownDetectors = [
  z.strictObject({
    type: z.literal('Builtin'),
    detectors: z.array(z.enum(builtinDetectorNames)).min(1),
    phoneRegions: z.array(text).min(1).exactOptional(),
  } satisfies Fields<BuiltinDetectors>),
  z.strictObject({ type: z.literal('Pattern'), expressions: z.array(text).min(1) }),
  z.strictObject({ type: z.literal('PromptInjection'), scoreThreshold: score }),
] as const;

/** The detectors of the gateway itself. */
export const ownDetector: z.ZodType<RedactionDetector> = z.discriminatedUnion('type', ownDetectors);

const detector: z.ZodType<GuardrailDetector> = z.discriminatedUnion('type', [
  ...ownDetectors,
  z.strictObject({
    type: z.literal('Presidio'),
    service,
    entities: z.array(text).min(1).exactOptional(),
    language: text,
    scoreThreshold: score.exactOptional(),
  } satisfies Fields<PresidioSettings>),
  z.strictObject({ type: z.literal('Webhook'), service }),
  z.strictObject({
    type: z.literal('OpenAIModeration'),
    service,
    model: text,
    categories: z.array(text).min(1).exactOptional(),
    scoreThreshold: score.exactOptional(),
  } satisfies Fields<OpenAIModerationSettings>),
  z.strictObject({ type: z.literal('Lakera'), service, projectId: text.exactOptional() }),
  z.strictObject({
    type: z.literal('Model'),
    service,
    model: text,
    instructions: text.exactOptional(),
    scoreThreshold: score,
  } satisfies Fields<ModelJudgeSettings>),
]);

const placeholder = text.includes('{index}');

const action: z.ZodType<GuardrailAction> = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('Mask'), placeholder, restore: z.boolean() }),
  z.strictObject({ type: z.literal('Block'), message: text }),
  z.strictObject({ type: z.literal('Monitor') }),
  z.strictObject({ type: z.literal('FromDetector'), placeholder, restore: z.boolean(), message: text }),
]);

const rule = z.strictObject({
  name: text,
  phases: z.array(z.enum(['Request', 'Response'])).min(1),
  scope: z.array(z.enum(guardrailScopes)).min(1),
  detector,
  action,
  onFailure: z.enum(['Closed', 'Open']),
  timeoutMs: count,
  onUnmaskable: z.enum(['Block', 'Pass']),
  when: text.exactOptional(),
  exempt: z.array(principal).min(1).exactOptional(),
} satisfies Fields<GuardrailRule>);

export const guardrailPolicy = z.strictObject({
  name: text,
  rules: z.array(rule).min(1),
  exempt: z.array(principal),
  holdBack: z.strictObject({ bytes: count, ms: count }),
} satisfies Fields<GuardrailPolicy>);
