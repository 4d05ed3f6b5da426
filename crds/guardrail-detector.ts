/** The detectors of AIGuardrailPolicy: how a rule finds what it acts on. */
import { z } from 'zod';
import { objectName, setOf, unionMember, withRules } from './schema.ts';

const serviceUrl = z
  .string()
  .min(1)
  .max(1024)
  .regex(/^https?:\/\/[^\s#@/]+(\/[^\s#]*)?$/, 'must be an https URL without user and fragment');

const URL_NOTE = 'https, or http on a loopback address of one machine or to a destination that the operator allows.';

const dataKey = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[-._a-zA-Z0-9]+$/, 'must be a key of the object');

const secretRef = (key: string, description: string) =>
  z.object({ name: objectName, key: dataKey.default(key) }).meta({ description });

const score = z.number().min(0).max(1);

const scoreThreshold = score.meta({ description: 'From 0 to 1: findings with a lower score are ignored.' });

const tls = z
  .object({
    caCertificateRef: z
      .object({ name: objectName, key: dataKey.default('ca.crt') })
      .meta({ description: "The ConfigMap with the service's CA certificates (PEM). Default: the CAs of the system." })
      .optional(),
    clientCertificateRef: z
      .object({ name: objectName })
      .meta({ description: 'The Secret of type kubernetes.io/tls with the certificate to present (mutual TLS).' })
      .optional(),
  })
  .meta({ description: "TLS settings; the objects are in the policy's own namespace." });

const builtin = z
  .object({
    detectors: z
      .array(
        z.enum([
          'CreditCard',
          'IBAN',
          'Email',
          'Phone',
          'USSocialSecurityNumber',
          'GermanTaxID',
          'AustrianSocialSecurityNumber',
          'FrenchSocialSecurityNumber',
          'SpanishNationalID',
          'UKNationalInsuranceNumber',
          'UKNHSNumber',
          'IndianAadhaar',
          'IndianPAN',
          'BrazilianCPF',
          'BrazilianCNPJ',
          'IPAddress',
          'MACAddress',
          'CryptoWallet',
          'Secret',
        ]),
      )
      .min(1)
      .max(32)
      .refine((items) => new Set(items).size === items.length, { message: 'each value must be unique' })
      .meta({ 'x-kubernetes-list-type': 'set', description: 'What to find. Check digits are verified.' }),
    phoneRegions: setOf(
      z
        .string()
        .max(2)
        .regex(/^[A-Z]{2}$/, 'must be a country code of two letters (ISO 3166), such as DE'),
      16,
    )
      .min(1)
      .meta({
        'x-kubernetes-list-type': 'set',
        description: 'The countries whose national phone numbers are found. Absent: only numbers that begin with +.',
      })
      .optional(),
  })
  .meta({ description: 'Detectors of the gateway itself.' });

const pattern = z
  .object({
    expressions: z.array(z.string().min(1).max(512)).min(1).max(64).meta({
      'x-kubernetes-list-type': 'atomic',
      description: 'RE2 expressions; each match is a finding. An expression must not match the empty text.',
    }),
  })
  .meta({ description: 'Regular expressions, matched in linear time.' });

const promptInjection = z
  .object({
    scoreThreshold: score.default(0.5).meta({ description: 'From 0 to 1: texts with a lower score are ignored.' }),
  })
  .meta({ description: 'Heuristics for instructions that try to take over the model.' });

const presidio = z
  .object({
    url: serviceUrl.meta({ description: `The base URL of Presidio's analyzer. ${URL_NOTE}` }),
    entities: setOf(
      z
        .string()
        .min(1)
        .max(64)
        .regex(/^[A-Z][A-Z0-9_]*$/, 'must be an entity of Presidio, such as PERSON'),
      64,
    )
      .min(1)
      .meta({ 'x-kubernetes-list-type': 'set', description: 'The entities to find. Absent: all.' })
      .optional(),
    language: z
      .string()
      .max(2)
      .regex(/^[a-z]{2}$/, 'must be a language code of two letters (ISO 639), such as en')
      .default('en'),
    scoreThreshold: scoreThreshold.optional(),
    secretRef: secretRef('api-key', 'The Secret with a key to send as a bearer token.').optional(),
    tls: tls.optional(),
  })
  .meta({ description: 'An analyzer of Microsoft Presidio.' });

const webhook = z
  .object({
    url: serviceUrl.meta({ description: `The receiver of each text. ${URL_NOTE}` }),
    secretRef: secretRef(
      'secret',
      'The Secret with the signing secret: `whsec_` and the base64 of 24 to 64 random bytes. Absent: requests are not signed.',
    ).optional(),
    tls: tls.optional(),
  })
  .meta({ description: 'A service of your own; the guide describes its API.' });

const openAIModeration = z
  .object({
    url: serviceUrl
      .default('https://api.openai.com/v1/moderations')
      .meta({ description: `OpenAI's moderation API, or a compatible one. ${URL_NOTE}` }),
    secretRef: secretRef('api-key', 'The Secret with the API key.').optional(),
    model: z.string().min(1).max(256).default('omni-moderation-latest'),
    categories: setOf(z.string().min(1).max(64), 64)
      .min(1)
      .meta({ 'x-kubernetes-list-type': 'set', description: 'The categories that count. Absent: all.' })
      .optional(),
    scoreThreshold: score
      .meta({ description: 'From 0 to 1: a category with this score counts. Absent: as the API flags it.' })
      .optional(),
    tls: tls.optional(),
  })
  .meta({ description: "OpenAI's moderation API." });

const lakera = z
  .object({
    url: serviceUrl.default('https://api.lakera.ai/v2/guard').meta({ description: `Lakera Guard's API. ${URL_NOTE}` }),
    secretRef: secretRef('api-key', 'The Secret with the API key.'),
    projectID: z.string().min(1).max(128).meta({ description: 'The project whose policy applies.' }).optional(),
    tls: tls.optional(),
  })
  .meta({ description: 'Lakera Guard.' });

const model = z
  .object({
    url: serviceUrl.meta({
      description: `Where chat completions of the gateway are, such as http://127.0.0.1:8080/v1/chat/completions. ${URL_NOTE}`,
    }),
    name: z.string().min(1).max(256).meta({ description: 'The model that judges.' }),
    secretRef: secretRef(
      'api-key',
      "The Secret with an API key of the gateway: the judge's cost counts for the tenant of this key.",
    ).optional(),
    instructions: z
      .string()
      .min(1)
      .max(4096)
      .meta({ description: 'What the judge must flag. Absent: harmful content and prompt injection.' })
      .optional(),
    scoreThreshold: score.default(0.5).meta({ description: 'From 0 to 1: a verdict with a lower score is ignored.' }),
    tls: tls.optional(),
  })
  .meta({ description: 'A model of the gateway that judges each text.' });

const detectFields = z
  .object({
    type: z.enum([
      'Builtin',
      'Pattern',
      'PromptInjection',
      'Presidio',
      'Webhook',
      'OpenAIModeration',
      'Lakera',
      'Model',
    ]),
    builtin: builtin.optional(),
    pattern: pattern.optional(),
    promptInjection: promptInjection.optional(),
    presidio: presidio.optional(),
    webhook: webhook.optional(),
    openAIModeration: openAIModeration.optional(),
    lakera: lakera.optional(),
    model: model.optional(),
  })
  .meta({ description: 'How the rule finds what it acts on.' });

type DetectFields = z.output<typeof detectFields>;

export const detect = withRules(detectFields, [
  unionMember<DetectFields>('Builtin', 'builtin'),
  unionMember<DetectFields>('Pattern', 'pattern'),
  {
    cel: "!has(self.promptInjection) || self.type == 'PromptInjection'",
    message: 'promptInjection must be set only if type is PromptInjection',
    holds: ({ type, promptInjection: of }) => of === undefined || type === 'PromptInjection',
  },
  unionMember<DetectFields>('Presidio', 'presidio'),
  unionMember<DetectFields>('Webhook', 'webhook'),
  unionMember<DetectFields>('OpenAIModeration', 'openAIModeration'),
  unionMember<DetectFields>('Lakera', 'lakera'),
  unionMember<DetectFields>('Model', 'model'),
]);

export type DetectSpec = z.output<typeof detect>;
