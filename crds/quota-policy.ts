/** AIQuotaPolicy: limits on requests and tokens, attached to a Gateway, a route or a rule. */
import { z } from 'zod';
import {
  count,
  dnsLabel,
  duration,
  durationMs,
  headerName,
  keyedList,
  objectName,
  size,
  tokenCount,
  unionMember,
  withRules,
} from './schema.ts';

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
    .meta({ description: 'What the policy holds for, in its own namespace.' }),
  [
    {
      cel: "(self.kind == 'Gateway') == (self.group == 'gateway.networking.k8s.io')",
      message: 'group must be gateway.networking.k8s.io for a Gateway and tallygate.dev for an AIGatewayRoute',
      field: 'group',
      holds: ({ kind, group }) => (kind === 'Gateway') === (group === 'gateway.networking.k8s.io'),
    },
  ],
);

const sliding = withRules(
  z.object({ duration: duration.meta({ description: 'From 1s to 744h (31 days).' }) }).meta({
    description: 'The time that ends now.',
  }),
  [
    {
      cel: "duration(self.duration) >= duration('1s') && duration(self.duration) <= duration('744h')",
      message: 'duration must be from 1s to 744h',
      field: 'duration',
      holds: (value) => durationMs(value.duration) >= 1000 && durationMs(value.duration) <= 744 * 3_600_000,
    },
  ],
);

const windowFields = z
  .object({
    type: z
      .enum(['Calendar', 'Sliding', 'Lifetime'])
      .meta({ description: 'Lifetime: a budget that is never filled again.' }),
    calendar: z
      .object({
        unit: z.enum(['Minute', 'Hour', 'Day', 'Week', 'Month']).meta({ description: 'A Week begins on Monday.' }),
        timeZone: z
          .string()
          .min(1)
          .max(64)
          .regex(/^[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]+)*$/, 'must be an IANA time zone, as in Europe/Vienna')
          .default('UTC')
          .meta({ description: 'A name of the IANA time zone database.' }),
      })
      .optional(),
    sliding: sliding.optional(),
  })
  .meta({ description: 'The time that the limit is for. A request belongs to the window in which it was admitted.' });

const window = withRules(windowFields, [
  unionMember<z.output<typeof windowFields>>('Calendar', 'calendar'),
  unionMember<z.output<typeof windowFields>>('Sliding', 'sliding'),
]);

const keyPartFields = z
  .object({
    type: z.enum(['Header', 'Model', 'Route']).meta({
      description: 'Header: the value of a request header. Model: as the client calls it. Route: the AIGatewayRoute.',
    }),
    header: z.object({ name: headerName }).optional(),
  })
  .meta({ description: 'A part of the key.' });

const keyPart = withRules(keyPartFields, [unionMember<z.output<typeof keyPartFields>>('Header', 'header')]);

const queueTimeout = withRules(
  duration.meta({ description: 'How long a request may wait for holds of others to be released. At most 60s.' }),
  [
    {
      cel: "duration(self) <= duration('60s')",
      message: 'queueTimeout must be at most 60s',
      holds: (value) => durationMs(value) <= 60_000,
    },
  ],
);

const quota = z
  .object({
    name: dnsLabel,
    limit: z
      .object({
        type: z.enum(['Requests', 'InputTokens', 'OutputTokens', 'TotalTokens']),
        amount: count,
      })
      .meta({ description: 'How much, in each window and for each key.' }),
    window,
    key: z
      .array(keyPart)
      .max(4)
      .meta({
        'x-kubernetes-list-type': 'atomic',
        description: 'Each different tuple of values has a budget of its own. Absent: one budget for all.',
      })
      .optional(),
    onMissingKey: z.enum(['Refuse', 'Shared']).default('Refuse').meta({
      description:
        'When a header of the key is missing or has several values: 400, or one budget for all such requests.',
    }),
    mode: z
      .enum(['Enforce', 'Shadow'])
      .default('Enforce')
      .meta({ description: 'Shadow counts and reports, and refuses nothing.' }),
    queueTimeout: queueTimeout.default('2s'),
    unbounded: z.enum(['Refuse', 'Allow']).default('Refuse').meta({
      description:
        'What becomes of requests whose cost cannot be bounded beforehand (stored conversations, remote files, server-side tools).',
    }),
    onJournalLoss: z
      .enum(['FailClosed', 'FailOpen'])
      .meta({
        description:
          'While the journal cannot be written, as on a full disk. FailClosed refuses requests (503) and ends streams when their hold is used up. FailOpen lets them pass; what they cost is forgotten if the process ends before the journal can be written again. Absent: FailClosed for tokens, FailOpen for Requests.',
      })
      .optional(),
    unmetered: z.enum(['Refuse', 'Allow']).default('Refuse').meta({
      description:
        'Of a token quota: whether endpoints that a route lists under `passthrough` may pass although their tokens are not counted. All token quotas that hold there must allow it.',
    }),
    onAbandon: z.enum(['Hold', 'Estimate']).default('Hold').meta({
      description:
        'What a request costs whose client leaves while output may have been made that the gateway never saw: a whole answer, or a stream with hidden output. Hold: everything that was held for it. Estimate: the usual length of such answers, or what the model makes in that time, whichever is more.',
    }),
  })
  .meta({ description: 'One limit.' });

const requestLimits = z
  .object({
    inputTokens: tokenCount.optional(),
    outputTokens: tokenCount.optional(),
    bodySize: size.optional(),
  })
  .meta({ description: 'Bounds on one request. Of several policies the smallest bound holds.' });

export const quotaPolicySpec = withRules(
  z
    .object({
      targetRefs: z
        .array(targetRef)
        .min(1)
        .max(16)
        .meta({ 'x-kubernetes-list-type': 'atomic', description: 'What the policy holds for.' }),
      quotas: keyedList(quota, 'name', 16)
        .meta({
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          description: 'All of them must have something left.',
        })
        .optional(),
      requestLimits: requestLimits.optional(),
    })
    .meta({
      description:
        'Limits on requests and tokens. All policies that are attached from the Gateway down to the rule hold together.',
    }),
  [
    {
      cel: '(has(self.quotas) && size(self.quotas) > 0) || has(self.requestLimits)',
      message: 'at least one of quotas and requestLimits must be set',
      holds: ({ quotas, requestLimits: limits }) => (quotas ?? []).length > 0 || limits !== undefined,
    },
  ],
);

export type QuotaPolicySpec = z.output<typeof quotaPolicySpec>;
export type QuotaSpec = NonNullable<QuotaPolicySpec['quotas']>[number];
