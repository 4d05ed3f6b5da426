/** What a policy kind attaches to (GEP-713): a Gateway, a listener, an AIGatewayRoute or a rule. */
import { z } from 'zod';
import { objectName, withRules } from './schema.ts';

const targetRef = withRules(
  z
    .object({
      group: z.enum(['gateway.networking.k8s.io', 'tallygate.dev']),
      kind: z.enum(['Gateway', 'AIGatewayRoute']),
      name: objectName,
      sectionName: objectName
        .meta({ description: 'The name of a listener of the Gateway, or of a rule of the route. It must exist.' })
        .optional(),
    })
    .meta({ description: "A target of the policy, in the policy's own namespace." }),
  [
    {
      cel: "(self.kind == 'Gateway') == (self.group == 'gateway.networking.k8s.io')",
      message: 'group must be gateway.networking.k8s.io for a Gateway and tallygate.dev for an AIGatewayRoute',
      field: 'group',
      holds: ({ kind, group }) => (kind === 'Gateway') === (group === 'gateway.networking.k8s.io'),
    },
  ],
);

/** The `targetRefs` field of every policy kind. */
export const targetRefs = z
  .array(targetRef)
  .min(1)
  .max(16)
  .meta({ 'x-kubernetes-list-type': 'atomic', description: 'What the policy applies to.' });

export type PolicyTargetRef = z.output<typeof targetRef>;
