/** Compiles the authenticators of an access policy. */

import type { Authenticator, CertificateSource, JwtAuthenticator, SignIn } from '../../contract/access-policy.ts';
import type { IssuerEndpoints, KeySource } from '../../contract/public-keys.ts';
import { keySourceId, publicKeysOf } from '../../contract/public-keys.ts';
import type { AuthenticatorSpec } from '../../crds/access-policy.ts';
import type { AIAccessPolicy } from '../../crds/kinds.ts';
import { durationMs } from '../../crds/schema.ts';
import type { TranslationContext } from '../context.ts';
import type { ProblemFields } from '../problem.ts';
import { notFound } from '../resource-index.ts';
import type { SecretText } from '../world.ts';
import type { AcceptedKeys, UnusedApiKey } from './api-keys.ts';
import { discoverySource, urlFault } from './issuers.ts';

/** As Envoy Gateway names it. */
const CLIENT_SECRET_KEY = 'client-secret';

/** The cookie with the ID token of a browser, which Envoy sets. */
export const ID_TOKEN_COOKIE = 'tallygate-id-token';

/** Login of browsers at an issuer whose endpoints are known. */
export interface BrowserLogin {
  /** `NAMESPACE/POLICY/AUTHENTICATOR`. */
  readonly id: string;
  readonly issuer: string;
  readonly endpoints: IssuerEndpoints;
  readonly clientId: string;
  /** `NAMESPACE/NAME` of the Secret with the client's secret. */
  readonly secretName: string;
  /** Standalone only: in a cluster, Envoy Gateway reads the Secret. */
  readonly clientSecret?: SecretText;
  readonly scopes: readonly string[];
  readonly redirectPath: string;
  readonly logoutPath: string;
}

export interface CompiledAuthenticator {
  readonly authenticator: Authenticator;
  readonly accepted?: AcceptedKeys;
  readonly unused?: readonly UnusedApiKey[];
  readonly source?: KeySource;
  readonly signIn?: SignIn;
  readonly browserLogin?: BrowserLogin;
}

/** What compiling an authenticator needs. */
interface AuthenticatorInput {
  readonly policy: AIAccessPolicy;
  /** `NAMESPACE/POLICY/AUTHENTICATOR`. */
  readonly id: string;
  readonly spec: AuthenticatorSpec;
  readonly path: string;
  readonly context: TranslationContext;
  readonly refuse: (details: ProblemFields) => undefined;
}

/** Returns undefined if the authenticator has a fault, which `refuse` reports. */
export function compileAuthenticator(input: AuthenticatorInput): CompiledAuthenticator | undefined {
  const { policy, id, spec, context } = input;
  if (spec.apiKey !== undefined) {
    const { matchLabels } = spec.apiKey.secretSelector;
    const { usable, unused } = context.apiKeys.selected(policy.metadata.namespace, matchLabels);
    return { authenticator: { type: 'APIKey', id }, accepted: { authenticator: id, keys: usable }, unused };
  }
  if (spec.jwt !== undefined) {
    return compileJwt(spec.jwt, input);
  }
  if (spec.oidc !== undefined) {
    return compileOidc(spec.oidc, input);
  }
  const { tenant, user, groups } = spec.clientCertificate?.identity ?? {};
  const identity = {
    ...(tenant && { tenant: certificateSource(tenant) }),
    ...(user && { user: certificateSource(user) }),
    ...(groups && { groups: certificateSource(groups) }),
  };
  return { authenticator: { type: 'ClientCertificate', id, identity } };
}

function certificateSource({ from, pattern }: { from: CertificateSource['from']; pattern?: string | undefined }) {
  return { from, ...(pattern !== undefined && { pattern }) };
}

type JwtSpec = NonNullable<AuthenticatorSpec['jwt']>;
type ClaimsSpec = JwtSpec['identity'];

function compileJwt(jwt: JwtSpec, input: AuthenticatorInput): CompiledAuthenticator | undefined {
  const { policy, id, path, context, refuse } = input;
  const fault = urlFault(jwt.issuer, policy, context);
  if (fault !== undefined) {
    return refuse({ reason: 'Invalid', path: `${path}.jwt.issuer`, ...fault });
  }
  const keys = keysOf(jwt, input);
  if (keys === undefined) {
    return undefined;
  }
  return {
    authenticator: {
      type: 'JWT',
      id,
      issuer: jwt.issuer,
      audiences: jwt.audiences,
      algorithms: jwt.algorithms,
      clockSkewSeconds: Math.ceil(durationMs(jwt.clockSkew) / 1000),
      keys: keys.keys,
      ...(keys.source && { keysUrl: keys.source.url }),
      identity: identityOf(jwt.identity),
    },
    ...(keys.source && { source: keys.source }),
    ...(jwt.signIn && {
      signIn: {
        issuer: jwt.issuer,
        clientId: jwt.signIn.clientID,
        audiences: jwt.audiences,
        scopes: jwt.signIn.scopes,
        token: jwt.signIn.token === 'ID' ? 'id' : 'access',
      },
    }),
  };
}

interface IssuerKeys {
  readonly keys: JwtAuthenticator['keys'];
  /** Absent: inline. */
  readonly source?: KeySource;
}

function keysOf(jwt: JwtSpec, { policy, path, context, refuse }: AuthenticatorInput): IssuerKeys | undefined {
  const { uri, inline } = jwt.jwks;
  if (inline !== undefined) {
    const keys = publicKeysOf(parsedJson(inline)) ?? [];
    if (keys.length > 0) {
      return { keys };
    }
    const message = 'has no public key for signatures in the form of a JSON Web Key Set';
    const fix = 'write the public keys as {"keys": [...]}';
    return refuse({ reason: 'Invalid', path: `${path}.jwt.jwks.inline`, message, fix });
  }
  const fault = uri === undefined ? undefined : urlFault(uri, policy, context);
  if (fault !== undefined) {
    return refuse({ reason: 'Invalid', path: `${path}.jwt.jwks.uri`, ...fault });
  }
  const source: KeySource = uri === undefined ? discoverySource(jwt.issuer) : { type: 'URI', url: uri };
  return { keys: context.jwks.get(keySourceId(source))?.keys ?? [], source };
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function identityOf(claims: ClaimsSpec): JwtAuthenticator['identity'] {
  const { tenant, user, groups } = claims ?? {};
  return { ...(tenant && { tenant }), ...(user && { user }), ...(groups && { groups }) };
}

type OidcSpec = NonNullable<AuthenticatorSpec['oidc']>;

/** Browser login ends in an ID token in a cookie, which extproc verifies as any other token. */
function compileOidc(oidc: OidcSpec, input: AuthenticatorInput): CompiledAuthenticator | undefined {
  const { policy, id, path, context, refuse } = input;
  const fault = urlFault(oidc.issuer, policy, context);
  if (fault !== undefined) {
    return refuse({ reason: 'Invalid', path: `${path}.oidc.issuer`, ...fault });
  }
  const source = discoverySource(oidc.issuer);
  const clientSecret = context.mode.type === 'Standalone' ? clientSecretOf(oidc, input) : null;
  if (clientSecret === undefined) {
    return undefined;
  }
  const endpoints = context.jwks.get(keySourceId(source))?.endpoints;
  return {
    authenticator: {
      type: 'JWT',
      id,
      issuer: oidc.issuer,
      audiences: [oidc.clientID],
      algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
      clockSkewSeconds: 30,
      cookie: ID_TOKEN_COOKIE,
      keys: context.jwks.get(keySourceId(source))?.keys ?? [],
      keysUrl: source.url,
      identity: identityOf(oidc.identity),
    },
    source,
    ...(endpoints && { browserLogin: browserLogin(oidc, input, endpoints, clientSecret ?? undefined) }),
  };
}

function browserLogin(
  oidc: OidcSpec,
  { policy, id }: AuthenticatorInput,
  endpoints: IssuerEndpoints,
  clientSecret: SecretText | undefined,
): BrowserLogin {
  return {
    id,
    issuer: oidc.issuer,
    endpoints,
    clientId: oidc.clientID,
    secretName: `${policy.metadata.namespace}/${oidc.clientSecretRef.name}`,
    ...(clientSecret && { clientSecret }),
    // Without it, the issuer sends no ID token.
    scopes: [...new Set(['openid', ...oidc.scopes])],
    redirectPath: oidc.redirectPath,
    logoutPath: oidc.logoutPath,
  };
}

function clientSecretOf(oidc: OidcSpec, input: AuthenticatorInput): SecretText | undefined {
  const { policy, path: authenticator, context, refuse } = input;
  const { namespace } = policy.metadata;
  const { name } = oidc.clientSecretRef;
  const path = `${authenticator}.oidc.clientSecretRef.name`;
  const secret = context.resources.secret(namespace, name);
  if (secret === undefined) {
    return refuse({ reason: 'Invalid', path, ...notFound(context.resources, 'Secret', namespace, name) });
  }
  const text = secret.data.get(CLIENT_SECRET_KEY);
  if ((text?.reveal() ?? '') === '') {
    const message = `Secret ${namespace}/${name} has no value under key ${CLIENT_SECRET_KEY}`;
    return refuse({ reason: 'Invalid', path, message, fix: `set ${CLIENT_SECRET_KEY} to the secret of the client` });
  }
  return text;
}
