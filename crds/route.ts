/** AIGatewayRoute: which models are served at which Gateway, and by which backends. */
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
    namespace: dnsLabel.meta({ description: "Absent: the route's own namespace." }).optional(),
    name: objectName,
    sectionName: objectName
      .meta({ description: 'The name of a listener. Absent: all that allow the route.' })
      .optional(),
    port: port.meta({ description: 'Only listeners of this port.' }).optional(),
  })
  .meta({ description: 'A Gateway that this route attaches to.' });

const headerMatch = z
  .object({
    type: z.enum(['Exact', 'RegularExpression']).default('Exact').meta({
      description: 'RegularExpression (RE2) must match the whole value; one of more than 256 characters never matches.',
    }),
    name: headerName,
    value: z.string().min(1).max(1024),
  })
  .meta({ description: 'A condition on one request header.' });

const weight = z
  .int32()
  .min(0)
  .max(1_000_000)
  .default(1)
  .meta({ description: 'Share of the requests among the backends of one priority; 0 takes none.' });

const backendRef = z
  .object({
    namespace: dnsLabel
      .meta({ description: "Absent: the route's own namespace. Another one needs a ReferenceGrant there." })
      .optional(),
    name: objectName.meta({ description: 'The AIBackend.' }),
    weight,
    priority: z
      .int32()
      .min(0)
      .max(9)
      .default(0)
      .meta({ description: '0 first; a higher number takes over when no backend of the lower ones is healthy.' }),
    model: modelName
      .meta({ description: 'What the backend calls the model. Absent: what the client calls it.' })
      .optional(),
  })
  .meta({ description: 'A backend that serves the rule.' });

const timeouts = withRules(
  z
    .object({
      request: duration
        .meta({ description: "From the request's end until the answer's end. Absent or 0s: no bound." })
        .optional(),
      firstToken: duration
        .meta({
          description: "From the request's end until the first token of a streamed answer. Absent or 0s: no bound.",
        })
        .optional(),
      idle: duration
        .meta({ description: 'How long an exchange may stay without any byte. Absent: 15m. 0s: no bound.' })
        .optional(),
    })
    .meta({ description: 'How long things may take.' }),
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
    attempts: z.int32().min(0).max(5).default(1).meta({ description: 'How often to try again; 0: never.' }),
    codes: z
      .array(z.int32().min(400).max(599))
      .max(8)
      .meta({
        'x-kubernetes-list-type': 'set',
        description:
          'Statuses of the provider that are tried again, beside connections that fail and streams that are refused.',
      })
      .optional(),
  })
  .meta({
    description:
      'Trying again before the provider has begun: connections that fail and streams that are refused. Absent: once. Bodies over 1 MiB are sent once only.',
  });

const rule = z
  .object({
    name: dnsLabel.meta({ description: 'Names the rule in policies (`sectionName`), metrics and logs.' }),
    models: setOf(modelPattern, 64).min(1).default(['*']).meta({
      description: 'Models as clients call them: exact names, or globs where * stands for any run of characters.',
    }),
    headers: z
      .array(headerMatch)
      .max(8)
      .meta({ 'x-kubernetes-list-type': 'atomic', description: 'All of them must match.' })
      .optional(),
    backendRefs: withRules(
      z
        .array(backendRef)
        .min(1)
        .max(16)
        .meta({ 'x-kubernetes-list-type': 'atomic', description: 'Who serves the rule.' }),
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
  })
  .meta({ description: 'Models, and the backends that serve them.' });

const passthroughFields = z
  .object({
    method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']),
    path: z
      .string()
      .min(1)
      .max(512)
      .regex(/^\/[!-"$-)+->@-~]*\*?$/, 'must begin with "/", without "?" and "#", and may end in one "*" for a prefix')
      .meta({ description: 'A path, or a prefix where it ends in *.' }),
    backendRef: z
      .object({ namespace: dnsLabel.optional(), name: objectName })
      .meta({ description: "Absent: the first backend of the route's first rule." })
      .optional(),
    unmetered: z
      .enum(['Refuse', 'Allow'])
      .meta({ description: 'Refused: `unmetered` is a field of the quotas of an AIQuotaPolicy.' })
      .optional(),
  })
  .meta({ description: 'An endpoint beyond those that Tallygate knows.' });

const passthrough = withRules(passthroughFields, [
  {
    cel: '!has(self.unmetered)',
    message:
      'remove unmetered here: who sets a token quota says what may pass it uncounted, by `unmetered: Allow` of each such quota in its AIQuotaPolicy',
    field: 'unmetered',
    holds: ({ unmetered }) => unmetered === undefined,
  },
]);

export const routeSpec = z
  .object({
    parentRefs: z
      .array(parentRef)
      .min(1)
      .max(16)
      .meta({ 'x-kubernetes-list-type': 'atomic', description: 'The Gateways that this route attaches to.' }),
    hostnames: setOf(hostname, 16)
      .meta({
        'x-kubernetes-list-type': 'set',
        description: "Host names that the route serves. Absent: those of the Gateway's listeners.",
      })
      .optional(),
    maxRequestBodySize: size
      .default('32Mi')
      .meta({ ...size.meta(), description: 'A larger request body is refused with 413.' }),
    passthrough: z
      .array(passthrough)
      .max(32)
      .meta({
        'x-kubernetes-list-type': 'atomic',
        description: 'What else may pass, uncounted. All other unknown endpoints get 404.',
      })
      .optional(),
    rules: keyedList(rule, 'name', 64)
      .min(1)
      .meta({
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
        description:
          'More headers win, then an exact model over a glob, then the longer glob, then the older route, then NAMESPACE/NAME.',
      }),
  })
  .meta({ description: 'Which models are served at which Gateway, and by which backends.' });

export type RouteSpec = z.output<typeof routeSpec>;
export type RouteRule = RouteSpec['rules'][number];
export type RouteHeaderMatch = z.output<typeof headerMatch>;
export type ParentRef = z.output<typeof parentRef>;
