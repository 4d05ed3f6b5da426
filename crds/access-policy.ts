/** AIAccessPolicy: who may call, and which models, attached to a Gateway, a route or a rule. */
import { z } from 'zod';
import { principal } from './principal.ts';
import {
  claimName,
  dnsLabel,
  duration,
  durationMs,
  keyedList,
  modelPattern,
  objectName,
  setOf,
  unionMember,
  withRules,
} from './schema.ts';
import { targetRefs } from './target-ref.ts';

const labelValue = z
  .string()
  .max(63)
  .regex(/^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/, 'must be a label value');

const MAX_LABELS = 8;

const apiKey = z
  .object({
    secretSelector: z
      .object({
        matchLabels: z
          .record(z.string(), labelValue)
          .refine((labels) => Object.keys(labels).length <= MAX_LABELS, { message: 'must have at most 8 labels' })
          .meta({
            description: 'The labels of the Secrets, besides `tallygate.dev/api-key: "true"`, which every key has.',
            maxProperties: MAX_LABELS,
          }),
      })
      .meta({ description: "Selects the Secrets with keys, in the policy's own namespace." }),
  })
  .meta({ description: 'API keys, sent as `Authorization: Bearer KEY`, `x-api-key`, `api-key` or `x-goog-api-key`.' });

const httpUrl = z
  .string()
  .min(1)
  .max(1024)
  .regex(/^https?:\/\/[^\s?#@/]+(\/[^\s?#]*)?$/, 'must be an https URL without user, query and fragment');

const claim = z
  .object({ claim: claimName })
  .meta({ description: 'A claim by its name, or else by a path of names with dots (`realm_access.roles`).' });

const claims = z
  .object({ tenant: claim.optional(), user: claim.optional(), groups: claim.optional() })
  .meta({ description: "The claims that name the caller's tenant, user and groups." });

const word = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[!-~]+$/, 'must be printable characters without spaces');

const jwksFields = z
  .object({
    type: z.enum(['Discovery', 'URI', 'Inline']).default('Discovery').meta({
      description:
        'Discovery: the URL that the metadata of the issuer names (OpenID Connect Discovery). URI: the URL in `uri`. Inline: the keys in `inline`.',
    }),
    uri: httpUrl
      .meta({ description: 'The URL of a JSON Web Key Set. https, or http on a loopback address.' })
      .optional(),
    inline: z.string().min(1).max(65_536).meta({ description: 'A JSON Web Key Set, as JSON.' }).optional(),
  })
  .meta({ description: 'The public keys of the issuer.' });

const jwks = withRules(jwksFields, [
  unionMember<z.output<typeof jwksFields>>('URI', 'uri'),
  unionMember<z.output<typeof jwksFields>>('Inline', 'inline'),
]);

const algorithms = z
  .array(z.enum(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']))
  .min(1)
  .max(10)
  .refine((items) => new Set(items).size === items.length, { message: 'each value must be unique' })
  .meta({ 'x-kubernetes-list-type': 'set', description: 'The signature algorithms that a token may use.' });

const clockSkew = withRules(duration.meta({ description: 'The tolerance for `exp` and `nbf`. At most 5m.' }), [
  {
    cel: "duration(self) <= duration('5m')",
    message: 'clockSkew must be at most 5m',
    holds: (value) => durationMs(value) <= 300_000,
  },
]);

const scopes = setOf(word, 16).meta({ 'x-kubernetes-list-type': 'set', description: 'The scopes to request.' });

const signIn = z
  .object({
    clientID: word.meta({ description: 'A public client of the issuer, for command lines.' }),
    scopes: scopes.default(['openid', 'profile', 'email', 'offline_access']),
    token: z
      .enum(['Access', 'ID'])
      .default('Access')
      .meta({ description: 'The token to send to the gateway; its `aud` must be one of `audiences`.' }),
  })
  .meta({ description: 'How command lines sign in (`tallygate login URL`); published by the gateway.' });

const issuer = httpUrl.meta({ description: 'The issuer, as in `iss`. https, or http on a loopback address.' });

const jwt = z
  .object({
    issuer,
    audiences: setOf(word, 16)
      .min(1)
      .meta({ 'x-kubernetes-list-type': 'set', description: 'One of them must be in `aud`.' }),
    jwks: jwks.default({ type: 'Discovery' }),
    algorithms: algorithms.default(['RS256', 'PS256', 'ES256', 'EdDSA']),
    clockSkew: clockSkew.default('30s'),
    identity: claims.optional(),
    signIn: signIn.optional(),
  })
  .meta({ description: 'JSON Web Tokens of an issuer, sent like API keys.' });

const certificateSource = withRules(
  z
    .object({
      from: z.enum(['URISAN', 'DNSSAN', 'Subject']).meta({ description: 'The first URI or DNS name, or the subject.' }),
      pattern: z
        .string()
        .min(1)
        .max(512)
        .regex(/^[ -)+-~]*(\*[ -)+-~]*){0,4}$/, 'must be printable characters with at most 4 "*"')
        .meta({
          description:
            'The whole attribute, where {value} is the part to take and * any characters. {value} matches no "/". Absent: the whole attribute.',
        })
        .optional(),
    })
    .meta({ description: 'An attribute of the certificate.' }),
  [
    {
      cel: "!has(self.pattern) || self.pattern.split('{value}').size() == 2",
      message: 'pattern must have {value} once',
      field: 'pattern',
      holds: ({ pattern }) => pattern === undefined || pattern.split('{value}').length === 2,
    },
  ],
);

const clientCertificate = z
  .object({
    identity: z
      .object({
        tenant: certificateSource.optional(),
        user: certificateSource.optional(),
        groups: certificateSource.optional(),
      })
      .meta({ description: "The attributes that name the caller's tenant, user and group." })
      .optional(),
  })
  .meta({ description: 'Client certificates that Envoy has verified; the listener must ask for one.' });

const path = (description: string) =>
  z
    .string()
    .min(2)
    .max(256)
    .regex(/^(\/[A-Za-z0-9._~-]+)+$/, 'must be a path such as /oauth2/callback')
    .meta({ description });

const oidc = z
  .object({
    issuer,
    clientID: word.meta({ description: 'A confidential client of the issuer, for browsers.' }),
    clientSecretRef: z
      .object({ name: objectName })
      .meta({ description: "The Secret with the client's secret under key `client-secret`, in the same namespace." }),
    scopes: scopes.default(['openid', 'profile', 'email']),
    redirectPath: path('Where the issuer sends the browser back to; register it there.').default('/oauth2/callback'),
    logoutPath: path('The path that ends the session of a browser.').default('/oauth2/logout'),
    identity: claims.optional(),
  })
  .meta({ description: 'Login of browsers by OpenID Connect, with a cookie for the session.' });

const authenticatorFields = z
  .object({
    name: dnsLabel,
    type: z.enum(['APIKey', 'JWT', 'ClientCertificate', 'OIDC']),
    apiKey: apiKey.optional(),
    jwt: jwt.optional(),
    clientCertificate: clientCertificate.optional(),
    oidc: oidc.optional(),
  })
  .meta({ description: 'One way to authenticate.' });

type AuthenticatorFields = z.output<typeof authenticatorFields>;

const authenticator = withRules(authenticatorFields, [
  unionMember<AuthenticatorFields>('APIKey', 'apiKey'),
  unionMember<AuthenticatorFields>('JWT', 'jwt'),
  unionMember<AuthenticatorFields>('ClientCertificate', 'clientCertificate'),
  unionMember<AuthenticatorFields>('OIDC', 'oidc'),
]);

const allowRule = z
  .object({
    name: dnsLabel,
    principals: z
      .array(principal)
      .min(1)
      .max(64)
      .meta({ 'x-kubernetes-list-type': 'atomic', description: 'One of them must match the caller.' }),
    models: setOf(modelPattern, 64)
      .min(1)
      .meta({
        'x-kubernetes-list-type': 'set',
        description:
          'Model names that clients send: exact names, or globs where * matches any characters. Absent: all, also requests without a model.',
      })
      .optional(),
    endpoints: z
      .array(
        z.enum([
          'chat',
          'completions',
          'responses',
          'embeddings',
          'messages',
          'count_tokens',
          'generate',
          'generate_content',
          'rerank',
          'images',
          'audio',
          'moderations',
          'passthrough',
        ]),
      )
      .min(1)
      .max(16)
      .refine((items) => new Set(items).size === items.length, { message: 'each value must be unique' })
      .meta({ 'x-kubernetes-list-type': 'set', description: 'The client APIs. Absent: all.' })
      .optional(),
    when: z
      .string()
      .min(1)
      .max(1024)
      .meta({ description: 'A CEL expression over `request` and `caller` that must be true.' })
      .optional(),
  })
  .meta({ description: 'Allows a request that matches all members.' });

export const accessPolicySpec = withRules(
  z
    .object({
      targetRefs,
      authenticate: keyedList(authenticator, 'name', 8)
        .meta({
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          description:
            'Ways to authenticate. A request must satisfy one of them; otherwise it gets 401. Absent: the policy restricts the callers of an outer policy.',
        })
        .optional(),
      allow: keyedList(allowRule, 'name', 64)
        .meta({
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          description:
            'What callers may do. A request that no rule allows gets 403. Absent or empty: nothing is allowed.',
        })
        .optional(),
      revokeStreams: z
        .boolean()
        .default(false)
        .meta({ description: "Whether open streams end when their caller's credential is revoked or expires." }),
    })
    .meta({
      description:
        'Who may call, and which models. A request must satisfy all policies from the Gateway down to the rule.',
    }),
  [
    {
      cel: "!has(self.authenticate) || !self.authenticate.exists(a, a.type == 'OIDC') || self.targetRefs.all(t, t.kind == 'Gateway')",
      message: 'a policy with OIDC must have only Gateways and listeners as targets',
      field: 'targetRefs',
      holds: ({ authenticate = [], targetRefs: targets }) =>
        authenticate.every(({ type }) => type !== 'OIDC') || targets.every(({ kind }) => kind === 'Gateway'),
    },
  ],
);

export type AccessPolicySpec = z.output<typeof accessPolicySpec>;
export type AuthenticatorSpec = NonNullable<AccessPolicySpec['authenticate']>[number];
export type AllowRuleSpec = NonNullable<AccessPolicySpec['allow']>[number];
