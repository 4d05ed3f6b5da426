/** AIQuotaPolicy: limits on requests, tokens and cost, attached to a Gateway, a route or a rule. */
import { z } from 'zod';
import {
  amount,
  claimName,
  currency,
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
import { targetRefs } from './target-ref.ts';

const sliding = withRules(
  z.object({ duration: duration.meta({ description: 'From 1s to 744h (31 days).' }) }).meta({
    description: 'A window of this length that ends now.',
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
    type: z.enum(['Calendar', 'Sliding', 'Lifetime']).meta({ description: 'Lifetime: a budget that never refills.' }),
    calendar: z
      .object({
        unit: z.enum(['Minute', 'Hour', 'Day', 'Week', 'Month']).meta({ description: 'A Week starts on Monday.' }),
        timeZone: z
          .string()
          .min(1)
          .max(64)
          .regex(/^[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]+)*$/, 'must be an IANA time zone, such as Europe/Vienna')
          .default('UTC')
          .meta({ description: 'A name of the IANA time zone database.' }),
      })
      .optional(),
    sliding: sliding.optional(),
  })
  .meta({
    description:
      'The period of the limit. A request counts in the window in which it was admitted. Required, except for ConcurrentRequests.',
  });

const window = withRules(windowFields, [
  unionMember<z.output<typeof windowFields>>('Calendar', 'calendar'),
  unionMember<z.output<typeof windowFields>>('Sliding', 'sliding'),
]);

const keyPartFields = z
  .object({
    type: z.enum(['Header', 'Model', 'Route', 'Tenant', 'User', 'Group', 'APIKey', 'Claim']).meta({
      description:
        "Header: the value of a request header. Model: the client's name of the model. Route: the AIGatewayRoute. Tenant, User: the caller's, as the outermost AIAccessPolicy that authenticates defines it. Group: the group by which an AIAccessPolicy admitted the caller. APIKey: the Secret of the key. Claim: a claim of the token.",
    }),
    header: z.object({ name: headerName }).optional(),
    claim: z.object({ name: claimName }).optional(),
  })
  .meta({ description: 'One part of the key.' });

const keyPart = withRules(keyPartFields, [
  unionMember<z.output<typeof keyPartFields>>('Header', 'header'),
  unionMember<z.output<typeof keyPartFields>>('Claim', 'claim'),
]);

const queueTimeout = withRules(
  duration.meta({
    description: 'How long a request may wait for other requests to release their holds. At most 60s.',
  }),
  [
    {
      cel: "duration(self) <= duration('60s')",
      message: 'queueTimeout must be at most 60s',
      holds: (value) => durationMs(value) <= 60_000,
    },
  ],
);

const limitAmount = amount.meta({
  ...amount.meta(),
  description: 'A whole number; for Cost a decimal number in quotes, at most "9000000".',
});

/** At most, so that thousandths of them stay below 2^53. */
const MAX_WEIGHTED_TOKENS = 9_000_000_000_000;

function isCountable(type: string, of: number | string): boolean {
  return type !== 'WeightedTokens' || (typeof of === 'number' && of <= MAX_WEIGHTED_TOKENS);
}

const limitTypes = [
  'Requests',
  'InputTokens',
  'OutputTokens',
  'TotalTokens',
  'WeightedTokens',
  'Cost',
  'ConcurrentRequests',
] as const;

const limitFields = z
  .object({
    type: z.enum(limitTypes).meta({
      description:
        'WeightedTokens: tokens by their kind, as `weight` says. Cost: by the `prices` of the models, rounded up to a billionth of the currency for each request. ConcurrentRequests: requests that run at the same time.',
    }),
    amount: limitAmount,
    currency: currency.meta({ description: 'The currency of the prices (ISO 4217), as in USD.' }).optional(),
    weight: z
      .string()
      .min(1)
      .max(1024)
      .meta({
        description:
          'What a request counts: a CEL expression that adds kinds of tokens, each multiplied or divided by numbers, as in `usage.input + 4 * usage.output - usage.cachedInput / 2`. The kinds are `input`, `output` and, as parts of these, `cachedInput`, `cacheWriteInput`, `cacheWrite1hInput`, `audioInput`, `imageInput`, `reasoningOutput`, `audioOutput` and `imageOutput`. Fractions are exact; the result is rounded up to a thousandth.',
      })
      .optional(),
  })
  .meta({ description: 'The amount per window and key.' });

const limit = withRules(limitFields, [
  unionMember<z.output<typeof limitFields>>('Cost', 'currency'),
  unionMember<z.output<typeof limitFields>>('WeightedTokens', 'weight'),
  {
    cel: `self.type != 'WeightedTokens' || type(self.amount) == string || self.amount <= ${MAX_WEIGHTED_TOKENS}`,
    message: `amount must be at most ${MAX_WEIGHTED_TOKENS} for WeightedTokens`,
    field: 'amount',
    holds: ({ type, amount: of }) => typeof of === 'string' || isCountable(type, of),
  },
  {
    cel: "(self.type == 'Cost') == (type(self.amount) == string)",
    message: 'amount must be a decimal number in quotes for Cost, and a whole number otherwise',
    field: 'amount',
    holds: ({ type, amount: of }) => (type === 'Cost') === (typeof of === 'string'),
  },
]);

const override = z.object({
  when: z.string().min(1).max(1024).meta({
    description:
      'A CEL expression over the parts of the key: `tenant`, `user`, `group`, `apiKey`, `model`, `route`, `headers["NAME"]` and `claims["NAME"]`.',
  }),
  amount: limitAmount,
});

const quotaFields = z
  .object({
    name: dnsLabel,
    limit,
    window: window.optional(),
    key: z
      .array(keyPart)
      .max(4)
      .meta({
        'x-kubernetes-list-type': 'atomic',
        description: 'Each distinct tuple of values has a separate budget. Absent: one budget for all requests.',
      })
      .optional(),
    when: z
      .string()
      .min(1)
      .max(1024)
      .meta({
        description:
          'A CEL expression over `request` (model, endpoint, stream, maxOutputTokens) and `caller` (tenant, user, groups) that selects the requests that count. Absent: all.',
      })
      .optional(),
    overrides: z
      .array(override)
      .min(1)
      .max(16)
      .meta({
        'x-kubernetes-list-type': 'atomic',
        description: 'Other amounts for some keys: the first override whose condition matches the key applies.',
      })
      .optional(),
    alertAt: z
      .array(z.int().min(1).max(100))
      .min(1)
      .max(8)
      .meta({
        'x-kubernetes-list-type': 'set',
        description:
          'Percent of the amount. What is spent of a key and reaches one is logged and counted in `tallygate_quota_alerts_total`, once per window.',
      })
      .optional(),
    onMissingKey: z.enum(['Refuse', 'Shared']).default('Refuse').meta({
      description:
        'What happens when a part of the key is missing or has several values. Refuse: respond with 400. Shared: one budget for all such requests.',
    }),
    mode: z
      .enum(['Enforce', 'Shadow'])
      .default('Enforce')
      .meta({ description: 'Shadow: count and report, but never refuse.' }),
    queueTimeout: queueTimeout.default('2s'),
    unbounded: z.enum(['Refuse', 'Allow']).default('Refuse').meta({
      description:
        'What happens to requests whose cost has no upper bound at admission (stored conversations, remote files, server-side tools).',
    }),
    onJournalLoss: z
      .enum(['FailClosed', 'FailOpen'])
      .meta({
        description:
          'What happens while the journal cannot be written, for example on a full disk. FailClosed: refuse requests (503) and end streams when their hold is used up. FailOpen: serve requests; their cost is lost if the process ends before the journal recovers. Default: FailOpen for Requests and ConcurrentRequests, FailClosed for all others.',
      })
      .optional(),
    onStoreLoss: z
      .enum(['FailClosed', 'FailOpen', 'Degrade'])
      .meta({
        description:
          'What happens while the shared quota store cannot be reached. FailClosed: spend the allowances that a proxy pod has, then refuse requests (503) and end streams. FailOpen: serve requests; their cost is charged once the store is back. Degrade: spend the allowances and, per pod and window, 5 percent of the amount, then refuse. Default: Degrade for Requests and ConcurrentRequests, FailClosed for all others.',
      })
      .optional(),
    unmetered: z.enum(['Refuse', 'Allow']).default('Refuse').meta({
      description:
        'Whether requests to `passthrough` endpoints, whose tokens are not counted, may pass a quota on tokens or cost. Every such quota that applies must allow it.',
    }),
    unpriced: z.enum(['Refuse', 'Allow']).default('Refuse').meta({
      description:
        'Cost only: what happens to requests for models without prices in the currency. Refuse: respond with 403. Allow: do not count them.',
    }),
    onAbandon: z.enum(['Hold', 'Estimate']).default('Hold').meta({
      description:
        'What an abandoned request costs when the provider may have generated output that the gateway never saw: an unfinished unary response, or a stream with reasoning. Hold: the whole hold. Estimate: the usual length of such responses or the usual output of the elapsed time, whichever is more.',
    }),
  })
  .meta({ description: 'One limit.' });

const quota = withRules(quotaFields, [
  {
    cel: "self.limit.type != 'ConcurrentRequests' || !has(self.alertAt)",
    message: 'alertAt must not be set for ConcurrentRequests, of which nothing is spent',
    field: 'alertAt',
    holds: ({ limit: { type }, alertAt }) => type !== 'ConcurrentRequests' || alertAt === undefined,
  },
  {
    cel: "(self.limit.type == 'ConcurrentRequests') != has(self.window)",
    message: 'window must be set, except for ConcurrentRequests, which must not have one',
    field: 'window',
    holds: ({ limit: { type }, window: period }) => (type === 'ConcurrentRequests') !== (period !== undefined),
  },
  {
    cel: "!has(self.overrides) || self.overrides.all(each, (type(each.amount) == string) == (self.limit.type == 'Cost'))",
    message: 'amount of each override must be a decimal number in quotes for Cost, and a whole number otherwise',
    field: 'overrides',
    holds: ({ limit: { type }, overrides = [] }) =>
      overrides.every((each) => (typeof each.amount === 'string') === (type === 'Cost')),
  },
  {
    cel: `self.limit.type != 'WeightedTokens' || !has(self.overrides) || self.overrides.all(each, type(each.amount) == string || each.amount <= ${MAX_WEIGHTED_TOKENS})`,
    message: `amount of each override must be at most ${MAX_WEIGHTED_TOKENS} for WeightedTokens`,
    field: 'overrides',
    holds: ({ limit: { type }, overrides = [] }) =>
      overrides.every((each) => typeof each.amount === 'string' || isCountable(type, each.amount)),
  },
]);

const webhook = z
  .object({
    url: z
      .string()
      .min(1)
      .max(1024)
      .regex(/^https?:\/\/[^\s#@/]+(\/[^\s#]*)?$/, 'must be an https URL without user and fragment')
      .meta({
        description:
          'The receiver. https, or http on a loopback address of one machine or to a destination that the operator allows.',
      }),
    secretRef: z
      .object({
        namespace: dnsLabel
          .meta({
            description:
              "Default: the policy's own namespace. Another namespace needs a ReferenceGrant in that namespace.",
          })
          .optional(),
        name: objectName,
        key: z
          .string()
          .min(1)
          .max(253)
          .regex(/^[-._a-zA-Z0-9]+$/, 'must be a key of the Secret')
          .default('secret'),
      })
      .meta({
        description: 'The Secret with the signing secret: `whsec_` and the base64 of 24 to 64 random bytes.',
      }),
  })
  .meta({ description: 'CloudEvents 1.0 in JSON, signed as Standard Webhooks describes.' });

const notificationFields = z
  .object({ type: z.enum(['Webhook']), webhook: webhook.optional() })
  .meta({ description: 'One receiver of alerts.' });

const notification = withRules(notificationFields, [
  unionMember<z.output<typeof notificationFields>>('Webhook', 'webhook'),
]);

const requestLimits = z
  .object({
    inputTokens: tokenCount.optional(),
    outputTokens: tokenCount.optional(),
    bodySize: size.optional(),
  })
  .meta({ description: 'Limits on a single request. The smallest limit of all policies applies.' });

export const quotaPolicySpec = withRules(
  z
    .object({
      targetRefs,
      quotas: keyedList(quota, 'name', 16)
        .meta({
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          description: 'The limits. A request is admitted only if every quota admits it.',
        })
        .optional(),
      requestLimits: requestLimits.optional(),
      notify: z
        .array(notification)
        .min(1)
        .max(4)
        .meta({
          'x-kubernetes-list-type': 'atomic',
          description: 'Who receives the alerts of `alertAt` of all quotas. In a cluster, each alert is also an Event.',
        })
        .optional(),
    })
    .meta({
      description:
        'Limits on requests, tokens and cost. All policies from the Gateway down to the rule apply together.',
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

/** The default of `onJournalLoss` for each limit type. */
export const journalLossDefaults: Readonly<
  Record<QuotaSpec['limit']['type'], NonNullable<QuotaSpec['onJournalLoss']>>
> = {
  Requests: 'FailOpen',
  InputTokens: 'FailClosed',
  OutputTokens: 'FailClosed',
  TotalTokens: 'FailClosed',
  WeightedTokens: 'FailClosed',
  Cost: 'FailClosed',
  ConcurrentRequests: 'FailOpen',
};

/** The default of `onStoreLoss` for each limit type: a limit on money or tokens is a budget. */
export const storeLossDefaults: Readonly<Record<QuotaSpec['limit']['type'], NonNullable<QuotaSpec['onStoreLoss']>>> = {
  Requests: 'Degrade',
  InputTokens: 'FailClosed',
  OutputTokens: 'FailClosed',
  TotalTokens: 'FailClosed',
  WeightedTokens: 'FailClosed',
  Cost: 'FailClosed',
  ConcurrentRequests: 'Degrade',
};
