/** AIBackend: one provider endpoint and facts about its models. */
import { z } from 'zod';
import { credential, grantNeeded } from './backend-credential.ts';
import { requestLabels } from './request-label.ts';
import {
  currency,
  dnsLabel,
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
      "The provider's CA certificates (PEM, certificates only), from the backend's own namespace. Tallygate publishes them in a ConfigMap.",
  });

const tlsFields = z
  .object({
    mode: z.enum(['System', 'CustomCA', 'Disabled']).default('System').meta({
      description:
        'System: trust the CAs of the system. CustomCA: trust the CAs of caCertificateRef. Disabled: plain HTTP.',
    }),
    caCertificateRef: caCertificateRef.optional(),
    hostname: host
      .meta({
        description:
          "The name to expect in the provider's certificate, also sent as SNI and Host. Default: the endpoint's host name.",
      })
      .optional(),
  })
  .meta({ description: 'TLS settings. Default: System for a Hostname, Disabled for a Service.' });

const tls = withRules(tlsFields, [
  unionMember<z.output<typeof tlsFields>>('CustomCA', 'caCertificateRef', 'mode'),
  {
    cel: "self.mode != 'Disabled' || !has(self.hostname)",
    message: 'hostname has no effect when mode is Disabled: remove it',
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
          'A DNS name or an IP address. Loopback, link-local and metadata addresses are refused. The name of a Service in another namespace needs a ReferenceGrant in that namespace.',
      })
      .optional(),
    service: z
      .object({
        namespace: dnsLabel.meta({ description: grantNeeded }).optional(),
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

const price = z
  .string()
  .max(16)
  .regex(/^[0-9]{1,6}(\.[0-9]{1,9})?$/, 'must be a decimal number in quotes, as in "0.15"');

const tokenPrices = z
  .object({
    input: price.optional(),
    output: price.optional(),
    cachedInput: price.meta({ description: 'Input read from a cache. Default: input.' }).optional(),
    cacheWriteInput: price
      .meta({ description: 'Input written to a cache, by Anthropic for five minutes. Default: input.' })
      .optional(),
    cacheWrite1hInput: price
      .meta({ description: 'Input written to a cache for an hour. Default: cacheWriteInput.' })
      .optional(),
    reasoningOutput: price.meta({ description: 'Default: output.' }).optional(),
    audioInput: price.meta({ description: 'Default: input.' }).optional(),
    audioOutput: price.meta({ description: 'Default: output.' }).optional(),
    imageInput: price.meta({ description: 'Default: input.' }).optional(),
    imageOutput: price.meta({ description: 'Default: output.' }).optional(),
  })
  .meta({ description: 'The price of a million tokens of each kind.' });

const longContext = z
  .object({
    aboveInputTokens: tokenCount.meta({ description: 'Requests with more input have these prices.' }),
    perMillionTokens: tokenPrices,
  })
  .meta({ description: 'All prices of tokens for requests with long input, as some providers have them.' });

const serviceTier = z.object({
  name: z
    .string()
    .min(1)
    .max(64)
    .regex(/^[A-Za-z0-9._-]+$/, 'must be the name of a service tier, such as flex')
    .meta({ description: "As the provider's answers name it in `service_tier`, such as `flex` or `priority`." }),
  perMillionTokens: tokenPrices,
  longContext: longContext.optional(),
});

const priceFields = {
  currency,
  perMillionTokens: tokenPrices,
  longContext: longContext.optional(),
  perRequest: price
    .meta({
      description:
        'Added for each request; for images, for each image; for rerankings, for each search unit (100 documents, or as the provider says). Default: 0.',
    })
    .optional(),
  serviceTiers: keyedList(serviceTier, 'name', 8)
    .meta({
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
      description: 'All prices of tokens in service tiers that cost more or less.',
    })
    .optional(),
};

const prices = z.object(priceFields).meta({ description: 'Prices, as decimal numbers of at most nine places.' });

const validFrom = withRules(
  z
    .string()
    .max(20)
    .regex(
      /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$/,
      'must be a time in UTC, as in 2027-01-01T00:00:00Z',
    )
    .meta({ description: 'When these prices begin to apply, in UTC, as in 2027-01-01T00:00:00Z.' }),
  [
    {
      cel: "timestamp(self) >= timestamp('1970-01-01T00:00:00Z')",
      message: 'must be a time since 1970',
      holds: (value) => Date.parse(value) >= 0,
    },
  ],
);

const priceChange = z
  .object({
    validFrom,
    ...priceFields,
  })
  .meta({ description: 'Prices from a time on.' });

const modelFields = z
  .object({
    name: modelPattern.meta({
      description: "The backend's name of the model, exact or a glob. The first entry that matches applies.",
    }),
    maxOutputTokens: tokenCount.meta({ description: 'The longest response of the model, in tokens.' }).optional(),
    contextTokens: tokenCount
      .meta({ description: 'The maximum of prompt and response together, in tokens.' })
      .optional(),
    reasoningTokens: z.enum(['Auto', 'Billed', 'None']).default('Auto').meta({
      description:
        "Whether the provider bills output that it does not stream, such as reasoning. Auto: decided by the model's name.",
    }),
    hiddenOutput: z
      .enum(['Auto', 'Always', 'Never'])
      .meta({ description: 'Renamed to `reasoningTokens`; any value but Auto is refused.' })
      .optional(),
    prices: prices.optional(),
    priceChanges: keyedList(priceChange, 'validFrom', 8)
      .meta({
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['validFrom'],
        description:
          'Prices that replace `prices` later. Of those in force when a request arrives, the newest applies.',
      })
      .optional(),
  })
  .meta({ description: 'Facts about a model.' });

const model = withRules(modelFields, [
  {
    // Auto passes: the API server stored this former default in objects whose authors never wrote
    // it.
    cel: "!has(self.hiddenOutput) || self.hiddenOutput == 'Auto'",
    message: 'hiddenOutput was renamed to reasoningTokens: write Billed instead of Always, None instead of Never',
    field: 'hiddenOutput',
    holds: ({ hiddenOutput }) => hiddenOutput === undefined || hiddenOutput === 'Auto',
  },
]);

const tokenizer = z
  .object({
    encoding: z
      .enum(['Auto', 'o200k_base', 'o200k_harmony', 'cl100k_base'])
      .default('Auto')
      .meta({ description: "The vocabulary. Auto: decided by the model's name." }),
    factorPercent: z
      .int32()
      .min(1)
      .max(1000)
      .meta({ description: 'Scales the count, for models whose own tokenizer is not public.' })
      .optional(),
  })
  .meta({ description: 'How to count tokens when the provider reports no usage.' });

/** The providers whose price lists Tallygate ships. */
export const catalogNames = [
  'anthropic',
  'aws',
  'azure',
  'cerebras',
  'cohere',
  'deepseek',
  'fireworks',
  'google',
  'groq',
  'mistral',
  'moonshotai',
  'openai',
  'together',
  'x-ai',
] as const;

export type CatalogName = (typeof catalogNames)[number];

/** Servers of OpenAI's API, whose dialects differ. */
const dialects = [
  'OpenAI',
  'DeepSeek',
  'Fireworks',
  'Groq',
  'Mistral',
  'Ollama',
  'OpenRouter',
  'SGLang',
  'Together',
  'VLLM',
  'XAI',
] as const;

const azure = z
  .object({
    apiVersion: z
      .string()
      .max(32)
      .regex(
        /^(v1|preview|[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?)$/,
        'must be v1, preview or a date such as "2024-10-21"',
      )
      .default('v1')
      .meta({
        description:
          'v1: the v1 API, whose requests name the deployment in the body. preview: its preview features. A date: the API of that version, whose paths name the deployment; at least 2024-10-21.',
      }),
  })
  .meta({ description: 'Settings of Azure OpenAI.' });

const backendFields = z
  .object({
    schema: z
      .enum([
        'OpenAI',
        'Anthropic',
        'HuggingFaceTGI',
        'AWSBedrock',
        'GoogleGemini',
        'GCPVertexAI',
        'AzureOpenAI',
        'Cohere',
      ])
      .meta({
        description:
          'The API that the provider speaks. AWSBedrock: Converse and ConverseStream. GoogleGemini, GCPVertexAI: generateContent. Cohere: version 2 of its API.',
      }),
    endpoint,
    pathPrefix: z
      .string()
      .max(256)
      .regex(/^(\/[A-Za-z0-9._~-]+)*\/?$/, 'must be a path such as /openai/v1')
      .meta({
        description:
          "The path of the provider's base URL, as its official client expects it. OpenAI, AzureOpenAI: replaces /v1. GCPVertexAI: replaces /v1, as in /v1/projects/PROJECT/locations/LOCATION. All others: prepended to the path. Default: /v1 for OpenAI (/openai/v1 for Groq, /api/v1 for OpenRouter, /inference/v1 for Fireworks) and GCPVertexAI, /openai/v1 for AzureOpenAI (/openai for a dated apiVersion), empty otherwise.",
      })
      .optional(),
    dialect: z
      .enum(dialects)
      .meta({
        description:
          "Of schema OpenAI: whose server it is, for servers that name the output bound differently or refuse members of OpenAI's requests. Sets the default of pathPrefix. Default: OpenAI.",
      })
      .optional(),
    azure: azure.optional(),
    credential: credential.optional(),
    catalog: z
      .enum(catalogNames)
      .meta({
        description:
          'Prices and context lengths of the models of this provider, from the shipped price list. An entry of `models` overrides them; an entry with an exact name takes from the list what it leaves out.',
      })
      .optional(),
    models: keyedList(model, 'name', 256)
      .meta({
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
        description: 'Facts about models. Models that are not listed are served too.',
      })
      .optional(),
    tokenizer: tokenizer.optional(),
    requestLabels: requestLabels.optional(),
  })
  .meta({ description: 'One provider endpoint and facts about its models.' });

export const backendSpec = withRules(backendFields, [
  {
    cel: "self.schema == 'OpenAI' || !has(self.dialect)",
    message: 'dialect has no effect unless schema is OpenAI: remove it, or correct schema',
    field: 'dialect',
    holds: ({ schema, dialect }) => schema === 'OpenAI' || dialect === undefined,
  },
  {
    cel: "self.schema == 'AzureOpenAI' || !has(self.azure)",
    message: 'azure has no effect unless schema is AzureOpenAI: remove it, or correct schema',
    field: 'azure',
    holds: ({ schema, azure: settings }) => schema === 'AzureOpenAI' || settings === undefined,
  },
  {
    cel: "self.schema in ['GCPVertexAI', 'AWSBedrock'] || !has(self.requestLabels)",
    message: 'requestLabels has no effect unless schema is GCPVertexAI or AWSBedrock: remove it, or correct schema',
    field: 'requestLabels',
    holds: ({ schema, requestLabels: labels }) =>
      ['GCPVertexAI', 'AWSBedrock'].includes(schema) || labels === undefined,
  },
]);

export type BackendSpec = z.output<typeof backendSpec>;
