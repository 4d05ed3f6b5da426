/** What an AIBackend tells its provider about each request: on the bill, or in the logs. */
import { z } from 'zod';
import { claimName, keyedList, unionMember, withRules } from './schema.ts';

const requestLabelFields = z
  .object({
    name: z
      .string()
      .min(1)
      .max(63)
      .regex(
        /^[a-z][a-z0-9_-]*$/,
        'must begin with a lower-case letter, and have only lower-case letters, digits, "_" and "-", such as cost_center',
      ),
    type: z.enum(['Value', 'Tenant', 'User', 'Group', 'APIKey', 'Claim', 'Route']).meta({
      description:
        "Value: always the same. Tenant, User: the caller's, as the outermost AIAccessPolicy that authenticates defines it. Group: the group by which an AIAccessPolicy admitted the caller. APIKey: namespace and name of the Secret of the key. Claim: a claim of the token. Route: namespace and name of the AIGatewayRoute.",
    }),
    value: z
      .string()
      .min(1)
      .max(63)
      .regex(/^[a-z0-9_-]+$/, 'must have only lower-case letters, digits, "_" and "-"')
      .optional(),
    claim: z.object({ name: claimName }).optional(),
  })
  .meta({ description: 'One label.' });

const requestLabel = withRules(requestLabelFields, [
  unionMember<z.output<typeof requestLabelFields>>('Value', 'value'),
  unionMember<z.output<typeof requestLabelFields>>('Claim', 'claim'),
]);

/** Bedrock takes 16 of them. */
export const requestLabels = keyedList(requestLabel, 'name', 16).meta({
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['name'],
  description:
    'Of GCPVertexAI and AWSBedrock: labels of each request, which the provider shows on its bill (`labels` of Vertex AI) or in its invocation logs (request metadata of Bedrock). Clients cannot set labels of these names. A label without a value, such as the tenant of a caller that has none, is left out. Characters that the provider does not take become "_"; such values, and those that are too long, end in a part of their SHA-256.',
});
