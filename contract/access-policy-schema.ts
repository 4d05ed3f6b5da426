/** The schemas of the part of a policy that says who may call; see `policy-schema.ts`. */
import { z } from 'zod';
import {
  type AccessPolicy,
  type AllowRule,
  type ApiKey,
  type ApiKeyShard,
  type Authenticator,
  type CertificateSource,
  endpointNames,
  type Principal,
  type SignIn,
} from './access-policy.ts';
import { count, type Fields, text } from './fields.ts';

const claimSource = z.strictObject({ claim: text });

const certificateSource = z.strictObject({
  from: z.enum(['URISAN', 'DNSSAN', 'Subject']),
  pattern: text.exactOptional(),
} satisfies Fields<CertificateSource>);

const authenticator: z.ZodType<Authenticator> = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('APIKey'), id: text }),
  z.strictObject({
    type: z.literal('JWT'),
    id: text,
    issuer: text,
    audiences: z.array(text).min(1),
    algorithms: z.array(text).min(1),
    clockSkewSeconds: count,
    cookie: text.exactOptional(),
    keys: z.array(z.record(text, z.union([z.string(), z.array(z.string())]))),
    keysUrl: text.exactOptional(),
    identity: z.strictObject({
      tenant: claimSource.exactOptional(),
      user: claimSource.exactOptional(),
      groups: claimSource.exactOptional(),
    }),
  }),
  z.strictObject({
    type: z.literal('ClientCertificate'),
    id: text,
    identity: z.strictObject({
      tenant: certificateSource.exactOptional(),
      user: certificateSource.exactOptional(),
      groups: certificateSource.exactOptional(),
    }),
  }),
]);

export const principal = z
  .strictObject({
    tenant: text.exactOptional(),
    user: text.exactOptional(),
    group: text.exactOptional(),
    authenticated: z.literal(true).exactOptional(),
  } satisfies Fields<Principal>)
  // An empty principal would match every caller.
  .refine((value) => Object.keys(value).length > 0, 'must not be empty');

const allowRule = z.strictObject({
  name: text,
  principals: z.array(principal).min(1),
  models: z.array(text).min(1).exactOptional(),
  endpoints: z.array(z.enum(endpointNames)).min(1).exactOptional(),
  when: text.exactOptional(),
} satisfies Fields<AllowRule>);

export const accessPolicy = z.strictObject({
  name: text,
  authenticators: z.array(authenticator),
  allow: z.array(allowRule),
  revokeStreams: z.boolean(),
} satisfies Fields<AccessPolicy>);

const apiKey = z.strictObject({
  id: text,
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  authenticators: z.array(text).min(1),
  tenant: text.exactOptional(),
  user: text.exactOptional(),
  groups: z.array(text),
  expiresAtMs: count.exactOptional(),
} satisfies Fields<ApiKey>);

export const apiKeyShard = z.strictObject({
  shard: z.string().regex(/^[0-9a-f]{2}$/),
  keys: z.array(apiKey).min(1),
} satisfies Fields<ApiKeyShard>);

export const signIn = z.strictObject({
  issuer: text,
  clientId: text,
  audiences: z.array(text),
  scopes: z.array(text),
  token: z.enum(['access', 'id']),
} satisfies Fields<SignIn>);
