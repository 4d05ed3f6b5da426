/**
 * AIGuardrailPolicy: which content may go to a provider and come back, attached to a Gateway, a
 * route or a rule.
 */
import { z } from 'zod';
import { detect } from './guardrail-detector.ts';
import { principal } from './principal.ts';
import { dnsLabel, duration, durationMs, keyedList, size, sizeBytes, withRules } from './schema.ts';
import { targetRefs } from './target-ref.ts';

const phases = z
  .array(z.enum(['Request', 'Response']))
  .min(1)
  .max(2)
  .refine((items) => new Set(items).size === items.length, { message: 'each value must be unique' })
  .meta({ 'x-kubernetes-list-type': 'set', description: 'Whether the rule reads requests, responses or both.' });

const scope = z
  .array(z.enum(['System', 'User', 'Assistant', 'ToolCall', 'ToolResult', 'Reasoning']))
  .min(1)
  .max(6)
  .refine((items) => new Set(items).size === items.length, { message: 'each value must be unique' })
  .meta({
    'x-kubernetes-list-type': 'set',
    description:
      'Whose text the rule reads. System: instructions and descriptions of tools. ToolCall: arguments that a model gives a tool. Absent: all.',
  });

const mask = z
  .object({
    placeholder: z
      .string()
      .min(1)
      .max(64)
      .regex(/^[ !#-[\]-~]*\{index\}[ !#-[\]-~]*$/, 'must have {index} and be printable characters without " and \\')
      .default('<{type}-{index}>')
      .meta({
        description:
          'Takes the place of a finding. {type}: the type of the finding. {index}: the number of the value among those of its type in the request; equal values have equal numbers.',
      }),
    restore: z
      .boolean()
      .default(false)
      .meta({ description: "Whether the client's own values take the place of their placeholders in the response." }),
  })
  .meta({ description: 'How findings are replaced.' });

const block = z
  .object({
    message: z
      .string()
      .min(1)
      .max(512)
      .default('The content is not allowed here.')
      .meta({ description: 'What the client is told.' }),
  })
  .meta({ description: 'How a request or response is refused.' });

const actionFields = z
  .object({
    type: z.enum(['Mask', 'Block', 'Monitor', 'FromDetector']).meta({
      description:
        'Mask: replace each finding. Block: refuse the request, or end the response. Monitor: only record. FromDetector: allow, block or modify, as the service says.',
    }),
    mask: mask.optional(),
    block: block.optional(),
  })
  .meta({ description: 'What happens to a text with findings.' });

const action = withRules(actionFields, [
  {
    cel: "!has(self.mask) || self.type == 'Mask' || self.type == 'FromDetector'",
    message: 'mask has no effect here: remove it, or set type to Mask',
    field: 'mask',
    holds: ({ type, mask: of }) => of === undefined || type === 'Mask' || type === 'FromDetector',
  },
  {
    cel: "!has(self.block) || self.type == 'Block' || self.type == 'FromDetector'",
    message: 'block has no effect here: remove it, or set type to Block',
    field: 'block',
    holds: ({ type, block: of }) => of === undefined || type === 'Block' || type === 'FromDetector',
  },
]);

const timeout = withRules(
  duration.meta({ description: 'How long the service may take for one text, with retries. From 1ms to 30s.' }),
  [
    {
      cel: "duration(self) >= duration('1ms') && duration(self) <= duration('30s')",
      message: 'timeout must be from 1ms to 30s',
      holds: (value) => durationMs(value) >= 1 && durationMs(value) <= 30_000,
    },
  ],
);

const exempt = z.array(principal).min(1).max(64);

const ruleFields = z
  .object({
    name: dnsLabel,
    phases: phases.default(['Request', 'Response']),
    scope: scope.optional(),
    detect,
    action,
    onFailure: z.enum(['Closed', 'Open']).default('Closed').meta({
      description:
        'What happens to a text that cannot be examined (a service without an answer, a body that cannot be read, the end of the hold-back). Closed: as if it were blocked. Open: the text passes, and the access line says so.',
    }),
    timeout: timeout.default('1s'),
    onUnmaskable: z.enum(['Block', 'Pass']).default('Block').meta({
      description:
        'What happens to a finding that cannot be replaced, because a signature covers its text. Block: as an action of type Block. Pass: the text passes, and the access line says so.',
    }),
    when: z
      .string()
      .min(1)
      .max(1024)
      .meta({ description: 'A CEL expression over `request` and `caller`; the rule applies where it is true.' })
      .optional(),
    exempt: exempt
      .meta({ 'x-kubernetes-list-type': 'atomic', description: 'Callers to whom the rule does not apply.' })
      .optional(),
  })
  .meta({ description: 'One guardrail.' });

type RuleFields = z.output<typeof ruleFields>;

const withPlaces = ['Builtin', 'Pattern', 'PromptInjection', 'Presidio', 'Webhook', 'Lakera'];
const withVerdict = ['Presidio', 'Webhook', 'OpenAIModeration', 'Lakera', 'Model'];

const rule = withRules(ruleFields, [
  {
    cel: "self.action.type != 'Mask' || !(self.detect.type in ['OpenAIModeration', 'Model'])",
    message: 'Mask needs a detector that finds places in a text; OpenAIModeration and Model judge the whole text',
    field: 'action',
    holds: ({ detect: of, action: { type } }: RuleFields) => type !== 'Mask' || withPlaces.includes(of.type),
  },
  {
    cel: "self.action.type != 'FromDetector' || !(self.detect.type in ['Builtin', 'Pattern', 'PromptInjection'])",
    message: 'FromDetector needs a service that decides; use Mask, Block or Monitor',
    field: 'action',
    holds: ({ detect: of, action: { type } }: RuleFields) => type !== 'FromDetector' || withVerdict.includes(of.type),
  },
]);

const maxDelay = withRules(
  duration.meta({ description: 'How long an event of a stream may wait for a decision. At most 30s.' }),
  [
    {
      cel: "duration(self) <= duration('30s')",
      message: 'maxDelay must be at most 30s',
      holds: (value) => durationMs(value) <= 30_000,
    },
  ],
);

const MAX_HELD_BYTES = 1024 * 1024;

const maxBytes = withRules(
  size.meta({ ...size.meta(), description: 'How much of a stream may wait for a decision. At most 1Mi.' }),
  [
    {
      cel: "quantity(self).compareTo(quantity('1Mi')) <= 0",
      message: 'maxBytes must be at most 1Mi',
      holds: (value) => sizeBytes(value) <= MAX_HELD_BYTES,
    },
  ],
);

export const guardrailPolicySpec = z
  .object({
    targetRefs,
    rules: keyedList(rule, 'name', 32)
      .min(1)
      .meta({
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
        description: 'The guardrails, in the order in which they act.',
      }),
    exempt: exempt
      .meta({ 'x-kubernetes-list-type': 'atomic', description: 'Callers to whom no rule applies.' })
      .optional(),
    holdBack: z
      .object({ maxBytes: maxBytes.default('64Ki'), maxDelay: maxDelay.default('2s') })
      .meta({
        description:
          'The bounds of what streams hold back while a value or a verdict is undecided. At a bound, an event leaves without the part of its text that is not decided, which follows in a later event. Where the API allows none, `onFailure` decides at `maxBytes`.',
      })
      .default({ maxBytes: '64Ki', maxDelay: '2s' }),
  })
  .meta({
    description:
      'Which content may go to a provider and come back. The rules of all policies from the Gateway down to the rule apply together.',
  });

export type GuardrailPolicySpec = z.output<typeof guardrailPolicySpec>;
export type GuardrailRuleSpec = GuardrailPolicySpec['rules'][number];
