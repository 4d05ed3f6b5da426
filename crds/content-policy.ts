/**
 * AIContentPolicy: which prompts and answers leave the gateway as records, attached to a Gateway, a
 * route or a rule. Without such a policy, none does.
 */
import { z } from 'zod';
import { principal } from './principal.ts';
import { objectName, size, sizeBytes, withRules } from './schema.ts';
import { targetRefs } from './target-ref.ts';

const MAX_BYTES = 256 * 1024;

const maxBytes = withRules(
  size.meta({
    ...size.meta(),
    description:
      'How much of the text of a prompt, and of an answer, is kept; of a long prompt, the last messages. At most 256Ki.',
  }),
  [
    {
      cel: "quantity(self).compareTo(quantity('256Ki')) <= 0",
      message: 'maxBytes must be at most 256Ki',
      holds: (value) => sizeBytes(value) <= MAX_BYTES,
    },
  ],
);

const redactFields = z
  .object({
    type: z.enum(['Builtin', 'Guardrails', 'None']).meta({
      description:
        'Builtin: all built-in detectors. Guardrails: the detectors of the rules of type Mask of these policies. None: nothing is masked.',
    }),
    guardrails: z
      .array(objectName)
      .min(1)
      .max(8)
      .meta({ 'x-kubernetes-list-type': 'set', description: 'Names of AIGuardrailPolicies of the same namespace.' })
      .optional(),
    phoneRegions: z
      .array(
        z
          .string()
          .max(2)
          .regex(/^[A-Z]{2}$/, 'must be a country code of two letters (ISO 3166), such as DE'),
      )
      .min(1)
      .max(16)
      .meta({
        'x-kubernetes-list-type': 'set',
        description: 'Countries (ISO 3166) whose national phone numbers Builtin finds.',
      })
      .optional(),
  })
  .meta({ description: 'What is masked before the content leaves the gateway.' });

const redact = withRules(redactFields, [
  {
    cel: "(self.type == 'Guardrails') == has(self.guardrails)",
    message: 'guardrails must be set if and only if type is Guardrails',
    field: 'guardrails',
    holds: ({ type, guardrails }) => (type === 'Guardrails') === (guardrails !== undefined),
  },
  {
    cel: "self.type == 'Builtin' || !has(self.phoneRegions)",
    message: 'phoneRegions has no effect here: remove it, or set type to Builtin',
    field: 'phoneRegions',
    holds: ({ type, phoneRegions }) => type === 'Builtin' || phoneRegions === undefined,
  },
]);

export const contentPolicySpec = z
  .object({
    targetRefs,
    content: z
      .array(z.enum(['Prompt', 'Response']))
      .min(1)
      .max(2)
      .refine((items) => new Set(items).size === items.length, { message: 'each value must be unique' })
      .meta({ 'x-kubernetes-list-type': 'set', description: 'What is kept.' })
      .default(['Prompt', 'Response']),
    destinations: z
      .array(z.enum(['OTLPLogs', 'Spans', 'S3']))
      .min(1)
      .max(3)
      .refine((items) => new Set(items).size === items.length, { message: 'each value must be unique' })
      .meta({
        'x-kubernetes-list-type': 'set',
        description:
          'Where the content goes; the operator of the gateway says where that is. OTLPLogs: log records. Spans: attributes of the span of the attempt, where the request is traced; at most 64 KB of a request. S3: objects of a bucket.',
      }),
    maxBytes: maxBytes.default('16Ki'),
    samplingPercent: z.int().min(1).max(100).default(100).meta({
      description: 'The share of the requests that is kept. The id of a request decides, the same way everywhere.',
    }),
    redact: redact.default({ type: 'Builtin' }),
    notifyHeader: z
      .boolean()
      .default(true)
      .meta({ description: 'Whether responses whose content is kept have the header x-tallygate-content: kept.' }),
    when: z
      .string()
      .min(1)
      .max(1024)
      .meta({ description: 'A CEL expression over `request` and `caller`; content is kept where it is true.' })
      .optional(),
    exempt: z
      .array(principal)
      .min(1)
      .max(64)
      .meta({ 'x-kubernetes-list-type': 'atomic', description: 'Callers whose content is never kept.' })
      .optional(),
  })
  .meta({
    description:
      'Which prompts and answers leave the gateway as records. Without such a policy, none does. Policies from the Gateway down to the rule apply each on its own.',
  });

export type ContentPolicySpec = z.output<typeof contentPolicySpec>;
