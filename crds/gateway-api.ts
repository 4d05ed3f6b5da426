/**
 * The fields that Tallygate reads of Gateway API and Envoy Gateway kinds. Other fields are not
 * validated.
 */
import { z } from 'zod';
import { GATEWAY_GROUP, hostname, objectName, port } from './schema.ts';

const certificateRef = z.object({
  group: z.string().default(''),
  kind: z.string().default('Secret'),
  namespace: z.string().optional(),
  name: objectName,
});

const labelSelector = z.object({
  matchLabels: z.record(z.string(), z.string()).default({}),
  matchExpressions: z
    .array(
      z.object({
        key: z.string(),
        operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
        values: z.array(z.string()).default([]),
      }),
    )
    .default([]),
});

/** The validation of client certificates: Gateway API 1.4 and later, in `spec.tls.frontend`. */
const clientValidation = z.object({
  caCertificateRefs: z
    .array(
      z.object({
        group: z.string().default(''),
        kind: z.string().default('ConfigMap'),
        namespace: z.string().optional(),
        name: objectName,
      }),
    )
    .min(1)
    .max(8),
  mode: z.enum(['AllowValidOnly', 'AllowInsecureFallback']).default('AllowValidOnly'),
});

const frontendTls = z.object({ validation: clientValidation.optional() });

const gatewayTls = z.object({
  frontend: z
    .object({
      default: frontendTls.optional(),
      perPort: z
        .array(z.object({ port, tls: frontendTls.optional() }))
        .max(64)
        .default([]),
    })
    .optional(),
});

const listener = z.object({
  name: objectName,
  hostname: hostname.optional(),
  port,
  protocol: z.enum(['HTTP', 'HTTPS'], {
    error: 'must be HTTP or HTTPS: Tallygate serves no other protocol',
  }),
  tls: z
    .object({
      mode: z
        .literal('Terminate', { error: 'must be Terminate: tokens of encrypted traffic cannot be counted' })
        .default('Terminate'),
      certificateRefs: z.array(certificateRef).max(16).optional(),
      // Gateway API before 1.4, with a valid certificate required.
      frontendValidation: clientValidation.optional(),
    })
    .optional(),
  allowedRoutes: z
    .object({
      namespaces: z
        .object({
          from: z.enum(['Same', 'All', 'Selector', 'None']).default('Same'),
          selector: labelSelector.optional(),
        })
        .default({ from: 'Same' }),
      kinds: z
        .array(z.object({ group: z.string().default(GATEWAY_GROUP), kind: z.string() }))
        .max(8)
        .optional(),
    })
    .optional(),
});

const gatewayClassName = z.string().min(1).max(253);

export const gatewaySpec = z.object({
  gatewayClassName,
  tls: gatewayTls.optional(),
  listeners: z
    .array(listener)
    .min(1)
    .max(64)
    .refine((listeners) => new Set(listeners.map((each) => each.name)).size === listeners.length, {
      message: 'each listener name must be unique',
    }),
});

/**
 * In a cluster, the Gateway's own controller validates it. Listeners without HTTP are ignored, not
 * refused.
 */
export const clusterGatewaySpec = z.object({
  gatewayClassName,
  // If it cannot be read, its validation of client certificates is not trusted.
  tls: gatewayTls.optional().catch({
    frontend: { default: { validation: { caCertificateRefs: [], mode: 'AllowInsecureFallback' } }, perPort: [] },
  }),
  listeners: z.array(z.unknown()).transform((listeners) =>
    listeners.flatMap((each) => {
      const { data } = listener.safeParse(each);
      return data === undefined ? [] : [data];
    }),
  ),
});

export const referenceGrantSpec = z.object({
  from: z.array(z.object({ group: z.string(), kind: z.string(), namespace: z.string() })).max(16),
  to: z.array(z.object({ group: z.string(), kind: z.string(), name: z.string().optional() })).max(16),
});

const targetRef = z.object({ kind: z.string(), name: z.string(), sectionName: z.string().optional() });

const targetSelector = labelSelector.extend({
  kind: z.string(),
  namespaces: z
    .object({ from: z.enum(['Same', 'All', 'Selector']).default('Same'), selector: labelSelector.optional() })
    .default({ from: 'Same' }),
});

/** The targets of an Envoy Gateway policy. */
const policyTargets = z.object({
  targetRef: targetRef.optional(),
  targetRefs: z.array(targetRef).default([]),
  targetSelectors: z.array(targetSelector).default([]),
});

/** Envoy Gateway's BackendTrafficPolicy: the fields that a generated policy would override. */
export const trafficPolicySpec = policyTargets.extend({
  retry: z
    .object({
      numRetries: z.number().optional(),
      retryOn: z
        .object({ triggers: z.array(z.string()).optional(), httpStatusCodes: z.array(z.number()).optional() })
        .optional(),
      perRetry: z.object({ timeout: z.unknown().optional() }).optional(),
    })
    .optional(),
  circuitBreaker: z.unknown().optional(),
  http2: z.unknown().optional(),
  timeout: z
    .object({
      http: z
        .object({
          requestTimeout: z.unknown().optional(),
          streamIdleTimeout: z.unknown().optional(),
          connectionIdleTimeout: z.unknown().optional(),
        })
        .optional(),
    })
    .optional(),
});

/**
 * Envoy Gateway's ClientTrafficPolicy: the fields that settings of a generated route would
 * override.
 */
export const clientPolicySpec = policyTargets.extend({
  timeout: z.object({ http: z.object({ streamIdleTimeout: z.unknown().optional() }).optional() }).optional(),
  tls: z.object({ clientValidation: z.object({ mode: z.unknown().optional() }).optional() }).optional(),
});

/** Envoy Gateway's SecurityPolicy: the sections that a generated policy may not be merged with. */
export const securityPolicySpec = policyTargets.extend({
  jwt: z.unknown().optional(),
  oidc: z.unknown().optional(),
  basicAuth: z.unknown().optional(),
  apiKeyAuth: z.unknown().optional(),
  extAuth: z.unknown().optional(),
});

export type PolicyTargets = z.output<typeof policyTargets>;
export type ClientPolicySpec = z.output<typeof clientPolicySpec>;
export type SecurityPolicySpec = z.output<typeof securityPolicySpec>;
export type TrafficPolicySpec = z.output<typeof trafficPolicySpec>;
export type GatewaySpec = z.output<typeof gatewaySpec>;
export type Listener = GatewaySpec['listeners'][number];
export type ClientValidation = z.output<typeof clientValidation>;
export type LabelSelector = z.output<typeof labelSelector>;
export type ReferenceGrantSpec = z.output<typeof referenceGrantSpec>;
