/** AIBackend: one provider endpoint, and what is known about its models. */
import { z } from 'zod';
import {
  dnsLabel,
  headerName,
  keyedList,
  modelPattern,
  objectName,
  port,
  tokenCount,
  unionMember,
  withRules,
} from './schema.ts';

const host = z
  .string()
  .min(1)
  .max(253)
  .regex(
    /^[A-Za-z0-9:]([-A-Za-z0-9.:]*[A-Za-z0-9:])?$/,
    'must be a host name or an IP address, without scheme, port and path',
  );

const caCertificateRef = z
  .object({
    kind: z.enum(['ConfigMap', 'Secret']).default('ConfigMap'),
    name: objectName,
    key: z
      .string()
      .min(1)
      .max(253)
      .regex(/^[-._a-zA-Z0-9]+$/, 'must be a key of the object')
      .default('ca.crt'),
  })
  .meta({
    description:
      "Certificates of the provider's authority, PEM and nothing else, in the backend's own namespace. They are published in a ConfigMap.",
  });

const tlsFields = z
  .object({
    mode: z.enum(['System', 'CustomCA', 'Disabled']).default('System').meta({
      description: "System: the machine's own authorities. CustomCA: those of caCertificateRef. Disabled: plain HTTP.",
    }),
    caCertificateRef: caCertificateRef.optional(),
    hostname: host
      .meta({
        description:
          "The name in the provider's certificate, also sent as SNI and as Host. Absent: the endpoint's host name.",
      })
      .optional(),
  })
  .meta({ description: 'Absent: System for a Hostname, Disabled for a Service.' });

const tls = withRules(tlsFields, [
  unionMember<z.output<typeof tlsFields>>('CustomCA', 'caCertificateRef', 'mode'),
  {
    cel: "self.mode != 'Disabled' || !has(self.hostname)",
    message: 'hostname has no meaning when mode is Disabled: remove it',
    field: 'hostname',
    holds: ({ mode, hostname }) => mode !== 'Disabled' || hostname === undefined,
  },
]);

const endpointFields = z
  .object({
    type: z.enum(['Hostname', 'Service']),
    hostname: z
      .object({ name: host, port: port.default(443) })
      .meta({
        description:
          'A host that is found by DNS, or an IP address. Loopback, link-local and metadata addresses are refused, and names of Services in other namespaces need a ReferenceGrant there.',
      })
      .optional(),
    service: z
      .object({
        namespace: dnsLabel.meta({ description: 'Another namespace needs a ReferenceGrant there.' }).optional(),
        name: objectName,
        port,
      })
      .meta({ description: 'A Service of the cluster.' })
      .optional(),
    tls: tls.optional(),
  })
  .meta({ description: 'Where the provider listens.' });

const endpoint = withRules(endpointFields, [
  unionMember<z.output<typeof endpointFields>>('Hostname', 'hostname'),
  unionMember<z.output<typeof endpointFields>>('Service', 'service'),
]);

const apiKey = z
  .object({
    secretRef: z
      .object({
        namespace: dnsLabel.meta({ description: 'Another namespace needs a ReferenceGrant there.' }).optional(),
        name: objectName,
        key: z
          .string()
          .min(1)
          .max(253)
          .regex(/^[-._a-zA-Z0-9]+$/, 'must be a key of the Secret')
          .default('apiKey'),
      })
      .meta({ description: 'The Secret, and its key with the bare API key.' }),
    header: z
      .object({
        name: headerName,
        prefix: z
          .string()
          .max(32)
          .regex(/^[ -~]*$/, 'must be printable characters')
          .default('')
          .meta({ description: 'Stands before the key, as in "Bearer ".' }),
      })
      .meta({
        description:
          'Absent: `authorization: Bearer KEY` for OpenAI and HuggingFaceTGI, `x-api-key: KEY` for Anthropic.',
      })
      .optional(),
  })
  .meta({ description: 'A key in a request header.' });

const credentialFields = z
  .object({ type: z.enum(['APIKey']), apiKey: apiKey.optional() })
  .meta({ description: "How the gateway proves itself to the provider. The client's own credentials are never sent." });

const credential = withRules(credentialFields, [unionMember<z.output<typeof credentialFields>>('APIKey', 'apiKey')]);

const price = z
  .string()
  .max(20)
  .regex(/^[0-9]{1,9}(\.[0-9]{1,9})?$/, 'must be a decimal number in quotes, as in "0.15"');

const prices = z
  .object({
    currency: z
      .string()
      .max(3)
      .regex(/^[A-Z]{3}$/, 'must be a currency code of ISO 4217, as in USD'),
    perMillionTokens: z.object({
      input: price.optional(),
      output: price.optional(),
      cachedInput: price.optional(),
      cacheWriteInput: price.optional(),
      audioInput: price.optional(),
      audioOutput: price.optional(),
    }),
  })
  .meta({ description: 'What a million tokens cost. Kept as data; no limit uses it yet.' });

const model = z
  .object({
    name: modelPattern.meta({
      description: 'As the backend calls it; exact, or a glob. The first that matches holds.',
    }),
    maxOutputTokens: tokenCount.meta({ description: 'The most that it ever answers with.' }).optional(),
    contextTokens: tokenCount
      .meta({ description: 'The most that a prompt and its answer may have together.' })
      .optional(),
    // Not Yes and No: kubectl reads those words as booleans.
    hiddenOutput: z
      .enum(['Auto', 'Always', 'Never'])
      .default('Auto')
      .meta({ description: "Whether output is billed that is not streamed (reasoning). Auto: by the model's name." }),
    prices: prices.optional(),
  })
  .meta({ description: 'Facts about a model.' });

const tokenizer = z
  .object({
    encoding: z
      .enum(['Auto', 'o200k_base', 'o200k_harmony', 'cl100k_base'])
      .default('Auto')
      .meta({ description: "Auto: by the model's name." }),
    factorPercent: z
      .int32()
      .min(1)
      .max(1000)
      .meta({ description: 'Multiplies the count, for models whose own tokenizer is not public.' })
      .optional(),
  })
  .meta({ description: "How tokens are counted where the provider's own count is missing." });

export const backendSpec = z
  .object({
    schema: z
      .enum(['OpenAI', 'Anthropic', 'HuggingFaceTGI'])
      .meta({ description: 'The API that the provider speaks.' }),
    endpoint,
    pathPrefix: z
      .string()
      .max(256)
      .regex(/^(\/[A-Za-z0-9._~-]+)*\/?$/, 'must be a path such as /openai/v1')
      .meta({
        description:
          "The path of the provider's base URL, as its official client takes it. OpenAI: stands in place of /v1. Anthropic, HuggingFaceTGI: stands before the path. Absent: /v1 for OpenAI, else nothing.",
      })
      .optional(),
    credential: credential.optional(),
    models: keyedList(model, 'name', 256)
      .meta({
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
        description: 'Facts about models; not a list of who may pass.',
      })
      .optional(),
    tokenizer: tokenizer.optional(),
  })
  .meta({ description: 'One provider endpoint, and what is known about its models.' });

export type BackendSpec = z.output<typeof backendSpec>;
