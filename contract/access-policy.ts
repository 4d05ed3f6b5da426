/** The part of the compiled policy that says who may call and what callers may use. */

/**
 * One AIAccessPolicy. A request must satisfy every access policy that applies to it: identify its
 * caller by one of the authenticators, and match one of the `allow` rules.
 */
export interface AccessPolicy {
  /** `NAMESPACE/POLICY`. */
  readonly name: string;
  /**
   * Empty: the policy restricts callers whom an outer policy identifies. Without such a policy it
   * admits nobody.
   */
  readonly authenticators: readonly Authenticator[];
  /** Empty: the policy admits nobody. */
  readonly allow: readonly AllowRule[];
  /** Whether streams end when the credential of their caller is revoked or expires. */
  readonly revokeStreams: boolean;
}

export type Authenticator = ApiKeyAuthenticator | JwtAuthenticator | CertificateAuthenticator;

/** Accepts the API keys that name this authenticator; see `ApiKey.authenticators`. */
export interface ApiKeyAuthenticator {
  readonly type: 'APIKey';
  /** `NAMESPACE/POLICY/AUTHENTICATOR`. */
  readonly id: string;
}

export interface JwtAuthenticator {
  readonly type: 'JWT';
  /** `NAMESPACE/POLICY/AUTHENTICATOR`. */
  readonly id: string;
  readonly issuer: string;
  /** One of them must be in `aud`. */
  readonly audiences: readonly string[];
  /** Asymmetric algorithms of RFC 7518, such as RS256; never empty. */
  readonly algorithms: readonly string[];
  readonly clockSkewSeconds: number;
  /** The cookie that carries the token of a browser; absent: request headers carry tokens. */
  readonly cookie?: string;
  /** Public keys (RFC 7517). Empty while they could not be fetched: no token is accepted. */
  readonly keys: readonly PublicJwk[];
  /**
   * The URL of the keys, to ask for them again when a token names an unknown key; absent: inline.
   */
  readonly keysUrl?: string;
  readonly identity: {
    readonly tenant?: ClaimSource;
    readonly user?: ClaimSource;
    readonly groups?: ClaimSource;
  };
}

/** A public key as a JSON Web Key, without private members. */
export type PublicJwk = Readonly<Record<string, string | readonly string[]>>;

/** A claim by its name, or else by a path of names with dots (`realm_access.roles`). */
export interface ClaimSource {
  readonly claim: string;
}

/** Accepts client certificates that Envoy has verified. */
export interface CertificateAuthenticator {
  readonly type: 'ClientCertificate';
  /** `NAMESPACE/POLICY/AUTHENTICATOR`. */
  readonly id: string;
  readonly identity: {
    readonly tenant?: CertificateSource;
    readonly user?: CertificateSource;
    readonly groups?: CertificateSource;
  };
}

export interface CertificateSource {
  readonly from: 'URISAN' | 'DNSSAN' | 'Subject';
  /**
   * The whole attribute, where `{value}` stands for the part that is taken and `*` for any
   * characters. `{value}` matches no `/`. Absent: the whole attribute is taken.
   */
  readonly pattern?: string;
}

/** Admits a request that matches all members. */
export interface AllowRule {
  readonly name: string;
  /** One of them must match the caller; never empty. */
  readonly principals: readonly Principal[];
  /** Exact names or globs of the client's name of the model; absent: all, also without a model. */
  readonly models?: readonly string[];
  /** Absent: all. */
  readonly endpoints?: readonly EndpointName[];
  /** A CEL expression over `request` and `caller`; see `condition.ts`. */
  readonly when?: string;
}

/** Matches a caller that has all the members. `authenticated` matches every caller. */
export interface Principal {
  readonly tenant?: string;
  readonly user?: string;
  readonly group?: string;
  readonly authenticated?: true;
}

/** The names of the client APIs, for `allow`. */
export const endpointNames = [
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
] as const;

export type EndpointName = (typeof endpointNames)[number];

/**
 * API keys whose digests start with the same two hexadecimal digits, so that a changed key changes
 * one of at most 256 lines.
 */
export interface ApiKeyShard {
  readonly shard: string;
  readonly keys: readonly ApiKey[];
}

export interface ApiKey {
  /** `NAMESPACE/SECRET`. */
  readonly id: string;
  /** SHA-256 of the key, in lower-case hexadecimal digits. Unique among all keys. */
  readonly digest: string;
  /** Ids of the authenticators that accept the key. */
  readonly authenticators: readonly string[];
  readonly tenant?: string;
  readonly user?: string;
  readonly groups: readonly string[];
  /** Milliseconds since 1970. */
  readonly expiresAtMs?: number;
}

/** What `/.well-known/tallygate` tells command lines. */
export interface SignIn {
  readonly issuer: string;
  readonly clientId: string;
  readonly audiences: readonly string[];
  readonly scopes: readonly string[];
  /** The token that the gateway accepts. */
  readonly token: 'access' | 'id';
}
