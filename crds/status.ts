/** The `status` of each kind, in the form of Gateway API. Only controllers write it. */
import { z } from 'zod';
import type { KindDefinition } from './kinds.ts';
import { dnsLabel, objectName, port } from './schema.ts';

const conditionList = z
  .array(
    z.object({
      type: z.string().max(316),
      status: z.enum(['True', 'False', 'Unknown']),
      observedGeneration: z.int().min(0).meta({ format: 'int64' }).optional(),
      lastTransitionTime: z.string().max(64).meta({ format: 'date-time' }),
      reason: z.string().min(1).max(1024),
      message: z.string().max(32768),
    }),
  )
  .max(16)
  .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] });

const reference = z.object({
  group: z.string().max(253).optional(),
  kind: z.string().max(63).optional(),
  namespace: dnsLabel.optional(),
  name: objectName,
  sectionName: objectName.optional(),
  port: port.optional(),
});

const shownAmount = z.string().max(32);

const budgets = z
  .array(
    z.object({
      quota: dnsLabel.meta({ description: 'The name of the quota.' }),
      key: z
        .array(z.string().max(256))
        .max(4)
        .meta({
          'x-kubernetes-list-type': 'atomic',
          description: 'The values of the key; a digest with `TALLYGATE_METRIC_KEYS=hashed`.',
        })
        .optional(),
      spent: shownAmount,
      held: shownAmount.meta({ description: 'Set aside for requests in flight.' }),
      limit: shownAmount,
      currency: z.string().max(3).optional(),
      proxies: z
        .int32()
        .min(2)
        .meta({
          description:
            'How many proxy pods count this budget apart. The amounts are those of all of them, also the limit. Absent: there is one total.',
        })
        .optional(),
      exhaustedAt: z
        .string()
        .max(64)
        .meta({
          format: 'date-time',
          description:
            'When the limit is spent at the average rate since the window began. Absent: not within the window.',
        })
        .optional(),
    }),
  )
  .max(10)
  .meta({
    'x-kubernetes-list-type': 'atomic',
    description: 'The fullest budgets, renewed at most every 30 seconds. Amounts are decimal numbers.',
  });

const controllerName = z.string().min(1).max(253).meta({ description: 'The controller that wrote this entry.' });

const byPlace = {
  conditions: z.object({ conditions: conditionList.optional() }),
  parents: z.object({
    parents: z
      .array(z.object({ parentRef: reference, controllerName, conditions: conditionList.optional() }))
      .max(32)
      .meta({ 'x-kubernetes-list-type': 'atomic', description: 'One entry for each parentRef.' })
      .optional(),
  }),
  ancestors: z.object({
    ancestors: z
      .array(z.object({ ancestorRef: reference, controllerName, conditions: conditionList.optional() }))
      .max(16)
      .meta({
        'x-kubernetes-list-type': 'atomic',
        description: 'One entry per Gateway that the policy affects, and per target that no Gateway serves.',
      })
      .optional(),
  }),
} as const satisfies Readonly<Record<KindDefinition['status'], z.ZodType>>;

export function statusSchema({ kind, status }: KindDefinition): z.ZodType {
  const schema = kind === 'AIQuotaPolicy' ? byPlace.ancestors.extend({ budgets: budgets.optional() }) : byPlace[status];
  return schema.meta({ description: 'Written by Tallygate.' });
}
