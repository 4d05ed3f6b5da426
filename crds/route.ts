/** AIGatewayRoute: which models a Gateway serves, and by which backends. */
import { z } from 'zod';
import {
  dnsLabel,
  duration,
  durationMs,
  headerName,
  hostname,
  keyedList,
  modelName,
  modelPattern,
  objectName,
  port,
  setOf,
  size,
  withRules,
} from './schema.ts';

const parentRef = z
  .object({
    group: z.literal('gateway.networking.k8s.io').default('gateway.networking.k8s.io'),
    kind: z.literal('Gateway').default('Gateway'),
    namespace: dnsLabel.meta({ description: "Default: the route's own namespace." }).optional(),
    name: objectName,
    sectionName: objectName
      .meta({ description: 'The name of a listener. Absent: all listeners that allow the route.' })
      .optional(),
    port: port.meta({ description: 'Only listeners of this port.' }).optional(),
  })
  .meta({ description: 'A Gateway to attach to.' });

const headerMatch = z
  .object({
    type: z.enum(['Exact', 'RegularExpression']).default('Exact').meta({
      description:
        'RegularExpression: an RE2 expression that must match the whole value. Values over 256 characters never match.',
    }),
    name: headerName,
    value: z.string().min(1).max(1024),
  })
  .meta({ description: 'A match on one request header.' });

const weight = z
  .int32()
  .min(0)
  .max(1_000_000)
  .default(1)
  .meta({ description: 'Share of requests among the backends of one priority. 0: no requests.' });

const backendRef = z
  .object({
    namespace: dnsLabel
      .meta({
        description: "Default: the route's own namespace. Another namespace needs a ReferenceGrant in that namespace.",
      })
      .optional(),
    name: objectName.meta({ description: 'The AIBackend.' }),
    weight,
    priority: z
      .int32()
      .min(0)
      .max(9)
      .default(0)
      .meta({ description: '0 comes first. Higher numbers take over when no lower-numbered backend is healthy.' }),
    model: modelName.meta({ description: "The backend's name of the model. Default: the client's name." }).optional(),
  })
  .meta({ description: 'A backend that serves the rule.' });

const timeouts = withRules(
  z
    .object({
      request: duration
        .meta({ description: 'From the end of the request to the end of the response. Absent or 0s: no timeout.' })
        .optional(),
      firstToken: duration
        .meta({
          description:
            'From the end of the request to the first token of a streamed response. Absent or 0s: no timeout.',
        })
        .optional(),
      idle: duration
        .meta({ description: 'How long no byte may flow in either direction. Default: 15m. 0s: no timeout.' })
        .optional(),
    })
    .meta({ description: 'Timeouts of a request.' }),
  [
    {
      cel: "!has(self.request) || !has(self.firstToken) || duration(self.request) == duration('0s') || duration(self.firstToken) <= duration(self.request)",
      message: 'firstToken must not be longer than request',
      field: 'firstToken',
      holds: ({ request, firstToken }) =>
        request === undefined ||
        firstToken === undefined ||
        durationMs(request) === 0 ||
        durationMs(firstToken) <= durationMs(request),
    },
  ],
);

const retries = z
  .object({
    attempts: z.int32().min(0).max(5).default(1).meta({ description: 'Maximum number of retries. 0: none.' }),
    codes: z
      .array(z.int32().min(400).max(599))
      .max(8)
      .meta({
        'x-kubernetes-list-type': 'set',
        description: 'Provider status codes to retry, in addition to failed connections and refused streams.',
      })
      .optional(),
  })
  .meta({
    description:
      'Retries before the provider has started to respond: after failed connections and refused streams. Default: one retry. Bodies over 1 MiB are never retried.',
  });

const failoverCauses = z
  .array(z.enum(['ConnectFailure', '5xx', 'RateLimited', 'FirstTokenTimeout']))
  .min(1)
  .max(4);

const failover = z
  .object({
    on: failoverCauses
      .meta({
        'x-kubernetes-list-type': 'set',
        description:
          'What makes a backend rest. ConnectFailure: no connection. 5xx: a status from 500 on, or no response. RateLimited: 429. FirstTokenTimeout: timeouts.firstToken has passed.',
      })
      .default(['ConnectFailure', '5xx', 'RateLimited', 'FirstTokenTimeout']),
    true: failoverCauses
      .meta({
        'x-kubernetes-list-type': 'set',
        description:
          'Do not write this field. kubectl and Helm read an unquoted `on` in YAML as `true`; Tallygate takes it for `on`.',
      })
      .optional(),
    attempts: z.int32().min(2).max(10).default(3).meta({
      description:
        'How often one request may be sent to a backend in all: within the request, and by the own count of the client (x-stainless-retry-count of the official clients).',
    }),
    cooldown: duration.default('30s').meta({
      description:
        'How long a failed backend rests. A Retry-After of the provider, or the reset of its spent rate limit, comes first; at most one hour.',
    }),
  })
  .transform(({ true: unquoted, ...fields }) => ({ ...fields, on: unquoted ?? fields.on }))
  .meta({
    description:
      'A failed backend rests at once, and another one serves the request before the client gets a byte. Where the response has begun, and on clusters that do not allow EnvoyPatchPolicies, the error response asks the client to send the request again (x-should-retry), which another backend then serves. Needs several backends.',
  });

const affinity = z
  .object({
    type: z.enum(['Session']).meta({
      description:
        'Session: the session header of known coding agents, else prompt_cache_key, else user (metadata.user_id of messages), else the model, the system prompt and the first message tell sessions apart.',
    }),
  })
  .meta({
    description:
      'Keeps the requests of a client session with one backend, where their prompt cache is, as long as that backend is healthy. Default: weights alone decide about each request.',
  });

const loadBalancer = z
  .object({
    type: z.enum(['Weighted', 'LeastCost', 'LeastLatency']).meta({
      description:
        'Weighted: by weight. LeastCost: the backend at which the request costs least, by the prices of the models; backends without a price come last. LeastLatency: fast backends, by the time until the first token, get more requests.',
    }),
  })
  .meta({
    description:
      'How backends of one priority share the requests that affinity does not keep with one of them. Default: by weight.',
  });

const rule = z
  .object({
    name: dnsLabel.meta({ description: "The rule's name in policies (`sectionName`), metrics and logs." }),
    models: setOf(modelPattern, 64).min(1).default(['*']).meta({
      description: 'Model names that clients send: exact names, or globs where * matches any characters.',
    }),
    headers: z
      .array(headerMatch)
      .max(8)
      .meta({ 'x-kubernetes-list-type': 'atomic', description: 'Header matches. All of them must match.' })
      .optional(),
    backendRefs: withRules(
      z
        .array(backendRef)
        .min(1)
        .max(16)
        .meta({ 'x-kubernetes-list-type': 'atomic', description: 'The backends that serve the rule.' }),
      [
        {
          cel: 'self.exists(b, !has(b.weight) || b.weight > 0)',
          message: 'at least one backendRef needs a weight above 0',
          holds: (references) => references.some((each) => each.weight > 0),
        },
      ],
    ),
    timeouts: timeouts.optional(),
    retries: retries.optional(),
    failover: failover.optional(),
    affinity: affinity.optional(),
    loadBalancer: loadBalancer.optional(),
    unsupported: z.enum(['Refuse', 'Drop']).default('Refuse').meta({
      description:
        "What happens to fields of a request that the backend's API does not have, where client and backend speak different APIs. Refuse: 400 that names the field. Drop: the provider does not get them, and the response header x-tallygate-dropped names them.",
    }),
  })
  .meta({ description: 'Models and the backends that serve them.' });

const passthroughFields = z
  .object({
    method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']),
    path: z
      .string()
      .min(1)
      .max(512)
      .regex(/^\/[!-"$-)+->@-~]*\*?$/, 'must begin with "/", without "?" and "#", and may end in one "*" for a prefix')
      .meta({ description: 'A path, or a prefix if it ends in *.' }),
    backendRef: z
      .object({ namespace: dnsLabel.optional(), name: objectName })
      .meta({ description: "Default: the first backend of the route's first rule." })
      .optional(),
    unmetered: z
      .enum(['Refuse', 'Allow'])
      .meta({ description: 'Refused. Set `unmetered` on the quotas of the AIQuotaPolicy instead.' })
      .optional(),
  })
  .meta({ description: 'An endpoint that Tallygate does not know and forwards unread.' });

const passthrough = withRules(passthroughFields, [
  {
    cel: '!has(self.unmetered)',
    message: 'remove unmetered here: set `unmetered: Allow` on each token quota of the AIQuotaPolicy instead',
    field: 'unmetered',
    holds: ({ unmetered }) => unmetered === undefined,
  },
]);

const origin = z
  .string()
  .min(1)
  .max(253)
  .regex(
    /^(\*|https?:\/\/(\*\.)?[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?)$/,
    'must be an origin such as https://chat.example.com or https://*.example.com, or *',
  );

const headerNames = (description: string) =>
  setOf(headerName, 64).meta({ 'x-kubernetes-list-type': 'set', description });

/** What the official clients of OpenAI and Anthropic for JavaScript may send. */
const clientHeaders = [
  'authorization',
  'content-type',
  'x-api-key',
  'anthropic-version',
  'anthropic-beta',
  'anthropic-dangerous-direct-browser-access',
  'openai-organization',
  'openai-project',
  'idempotency-key',
  ...[
    'arch',
    'async',
    'helper',
    'helper-method',
    'lang',
    'os',
    'package-version',
    'poll-helper',
    'retry-count',
    'runtime',
    'runtime-version',
    'timeout',
  ].map((name) => `x-stainless-${name}`),
];

const cors = withRules(
  z
    .object({
      allowOrigins: setOf(origin, 64).min(1).meta({
        'x-kubernetes-list-type': 'set',
        description: 'The origins of the pages; `*.` stands for any subdomain, `*` for every origin.',
      }),
      allowCredentials: z
        .boolean()
        .default(false)
        .meta({ description: "Whether scripts may use the browser's cookies and client certificate." }),
      allowMethods: z
        .array(z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']))
        .min(1)
        .max(5)
        .meta({ 'x-kubernetes-list-type': 'set', description: 'The methods that scripts may use.' })
        .default(['GET', 'POST']),
      allowHeaders: headerNames(
        'The request headers that scripts may set. Default: those of the official clients.',
      ).default(clientHeaders),
      exposeHeaders: headerNames('The response headers that scripts may read.').optional(),
      maxAge: z
        .int32()
        .min(1)
        .max(86_400)
        .default(300)
        .meta({ description: 'How many seconds a browser keeps the response to a preflight request.' }),
    })
    .meta({
      description:
        'Which web pages may call the gateway from a browser (CORS). It applies to the whole host name; of several routes, the setting of the oldest counts.',
    }),
  [
    {
      cel: "!has(self.allowCredentials) || !self.allowCredentials || !self.allowOrigins.exists(o, o == '*')",
      message: 'allowCredentials needs allowOrigins without *',
      field: 'allowCredentials',
      holds: ({ allowCredentials, allowOrigins }) => !allowCredentials || !allowOrigins.includes('*'),
    },
  ],
);

export const routeSpec = z
  .object({
    parentRefs: z
      .array(parentRef)
      .min(1)
      .max(16)
      .meta({ 'x-kubernetes-list-type': 'atomic', description: 'The Gateways to attach to.' }),
    hostnames: setOf(hostname, 16)
      .meta({
        'x-kubernetes-list-type': 'set',
        description: "Host names to serve. Default: the host names of the Gateway's listeners.",
      })
      .optional(),
    maxRequestBodySize: size
      .default('32Mi')
      .meta({ ...size.meta(), description: 'The largest request body. Larger ones are refused with 413.' }),
    cors: cors.optional(),
    passthrough: z
      .array(passthrough)
      .max(32)
      .meta({
        'x-kubernetes-list-type': 'atomic',
        description: 'Further endpoints to forward, uncounted. Other unknown endpoints get 404.',
      })
      .optional(),
    rules: keyedList(rule, 'name', 64)
      .min(1)
      .meta({
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
        description:
          'The rules. Precedence: more headers, then an exact model over a glob, then the longer glob, then the older route, then NAMESPACE/NAME.',
      }),
  })
  .meta({ description: 'Which models a Gateway serves, and by which backends.' });

export type RouteSpec = z.output<typeof routeSpec>;
export type RouteCors = NonNullable<RouteSpec['cors']>;
export type RouteRule = RouteSpec['rules'][number];
export type RouteHeaderMatch = z.output<typeof headerMatch>;
export type ParentRef = z.output<typeof parentRef>;
