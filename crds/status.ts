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

export function statusSchema(place: KindDefinition['status']): z.ZodType {
  return byPlace[place].meta({ description: 'Written by Tallygate.' });
}
