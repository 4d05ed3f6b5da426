/**
 * A certified OpenID Provider on a loopback port: authorization code with PKCE, device
 * authorization, refresh tokens that rotate, and JWT access tokens for the audience `ai-gateway`.
 * Its keys can be rotated, and it can go down and come back. `oidc-user.ts` signs in as a person
 * does.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider, { type Adapter, type AdapterPayload, type ClientMetadata, type Configuration } from 'oidc-provider';
import { noteTokenResponse } from './leaks/requests.ts';
import { type IssuerKey, newIssuerKeys, signToken, type TokenOptions } from './oidc-tokens.ts';

export const AUDIENCE = 'ai-gateway';
/** The public client of command lines: no secret, and any port of the loopback address. */
export const CLIENT_ID = 'tallygate';
/** RFC 8707 wants an absolute URI; the audience of its tokens is `AUDIENCE`. */
const RESOURCE = `urn:tallygate:${AUDIENCE}`;

export interface OidcUser {
  readonly team: string;
  readonly email: string;
  readonly groups: readonly string[];
}

/** Any password signs them in. */
const defaultUsers: Readonly<Record<string, OidcUser>> = {
  ada: { team: 'search', email: 'ada@example.com', groups: ['engineering'] },
  ben: { team: 'ads', email: 'ben@example.com', groups: [] },
};

export interface OidcProviderOptions {
  readonly port?: number;
  /** The address that it listens on. */
  readonly host?: string;
  /** Differs from the address that it listens on behind a proxy, or for a wrong issuer. */
  readonly issuer?: string;
  readonly users?: Readonly<Record<string, OidcUser>>;
  /** Besides `CLIENT_ID`: a client with a secret for a browser login, for example. */
  readonly clients?: readonly ClientMetadata[];
  readonly accessTokenSeconds?: number;
}

export interface OidcProvider {
  readonly issuer: string;
  readonly port: number;
  /** The current keys, first those of the last rotation. */
  readonly keys: readonly IssuerKey[];
  /** The public keys, as the JWKS endpoint lists them. */
  readonly jwks: { readonly keys: readonly IssuerKey['publicJwk'][] };
  /** Paths of the requests that arrived. */
  readonly requests: readonly string[];
  /** Signs a token with the current keys; without options, one of `ada` that a gateway accepts. */
  issueToken(options?: TokenOptions): Promise<string>;
  /** Signs with new keys from now on. The JWKS keeps the old keys unless `dropOld`. */
  rotateKeys(options?: { readonly dropOld?: boolean }): Promise<void>;
  /** Forgets sessions, grants and refresh tokens, as if all had expired. */
  forget(): void;
  /** Refuses connections until `up`. Both may be called twice. */
  down(): Promise<void>;
  up(): Promise<void>;
  stop(): Promise<void>;
}

export async function startOidcProvider(options: OidcProviderOptions = {}): Promise<OidcProvider> {
  const users = options.users ?? defaultUsers;
  const store: Store = new Map();
  const requests: string[] = [];
  let handler: http.RequestListener = (_, response) => response.writeHead(503).end();
  const server = http.createServer((request, response) => {
    const path = (request.url ?? '').replace(/\?.*/, '');
    requests.push(path);
    if (path === '/token') {
      noteTokenResponse(response);
    }
    handler(request, response);
  });
  const host = options.host ?? '127.0.0.1';
  await listen(server, options.port ?? 0, host);
  const { port } = server.address() as AddressInfo;
  const issuer = options.issuer ?? `http://${host}:${port}`;
  let generation = 1;
  let keys = await newIssuerKeys(generation);
  const use = (newKeys: readonly IssuerKey[]) => {
    keys = newKeys;
    handler = new Provider(issuer, configuration(options, users, keys, store)).callback();
  };
  use(keys);
  return {
    issuer,
    port,
    get keys() {
      return keys;
    },
    get jwks() {
      return { keys: keys.map(({ publicJwk }) => publicJwk) };
    },
    requests,
    issueToken: (token = {}) =>
      signToken(keys, { issuer, audience: AUDIENCE }, { ...token, claims: { ...users['ada'], ...token.claims } }),
    rotateKeys: async ({ dropOld = false } = {}) => {
      const fresh = await newIssuerKeys(++generation);
      use(dropOld ? fresh : [...fresh, ...keys]);
    },
    forget: () => store.clear(),
    down: () => close(server),
    up: async () => {
      if (!server.listening) {
        await listen(server, port, host);
      }
    },
    stop: () => close(server),
  };
}

function configuration(
  options: OidcProviderOptions,
  users: Readonly<Record<string, OidcUser>>,
  keys: readonly IssuerKey[],
  store: Store,
): Configuration {
  const commandLine: ClientMetadata = {
    client_id: CLIENT_ID,
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
    redirect_uris: ['http://127.0.0.1/callback'],
    response_types: ['code'],
  };
  return {
    adapter: (model) => new StoreAdapter(model, store),
    jwks: { keys: keys.map(({ privateJwk }) => privateJwk) as NonNullable<Configuration['jwks']>['keys'] },
    clients: [commandLine, ...(options.clients ?? [])],
    claims: { openid: ['sub'], email: ['email'], profile: ['team', 'groups'] },
    // ID tokens carry the claims themselves, as those of most identity providers do.
    conformIdTokenClaims: false,
    findAccount: (_, accountId) => {
      const user = Object.hasOwn(users, accountId) ? users[accountId] : undefined;
      return user && { accountId, claims: () => ({ sub: accountId, ...user }) };
    },
    extraTokenClaims: (_, token) => ({ ...users['accountId' in token ? token.accountId : ''] }),
    features: {
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: '',
          audience: AUDIENCE,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    ttl: { AccessToken: options.accessTokenSeconds ?? 3600, IdToken: options.accessTokenSeconds ?? 3600 },
    cookies: { keys: ['test'] },
  };
}

type Store = Map<string, { payload: AdapterPayload; readonly expiresAtMs: number }>;

/** Keeps what a Provider stores, so that the Provider with rotated keys goes on with it. */
class StoreAdapter implements Adapter {
  readonly #model: string;
  readonly #store: Store;

  constructor(model: string, store: Store) {
    this.#model = model;
    this.#store = store;
  }

  async upsert(id: string, payload: AdapterPayload, expiresInSeconds = Number.POSITIVE_INFINITY): Promise<void> {
    this.#store.set(`${this.#model}:${id}`, { payload, expiresAtMs: Date.now() + expiresInSeconds * 1000 });
  }

  async find(id: string): Promise<AdapterPayload | undefined> {
    const entry = this.#store.get(`${this.#model}:${id}`);
    return entry !== undefined && entry.expiresAtMs > Date.now() ? entry.payload : undefined;
  }

  findByUid(uid: string): Promise<AdapterPayload | undefined> {
    return this.#findWhere((payload) => payload.uid === uid);
  }

  findByUserCode(userCode: string): Promise<AdapterPayload | undefined> {
    return this.#findWhere((payload) => payload.userCode === userCode);
  }

  async consume(id: string): Promise<void> {
    const payload = await this.find(id);
    if (payload !== undefined) {
      payload['consumed'] = Math.floor(Date.now() / 1000);
    }
  }

  async destroy(id: string): Promise<void> {
    this.#store.delete(`${this.#model}:${id}`);
  }

  async revokeByGrantId(grantId: string): Promise<void> {
    for (const [key, { payload }] of this.#store) {
      if (key.startsWith(`${this.#model}:`) && payload.grantId === grantId) {
        this.#store.delete(key);
      }
    }
  }

  async #findWhere(matches: (payload: AdapterPayload) => boolean): Promise<AdapterPayload | undefined> {
    for (const [key, { payload, expiresAtMs }] of this.#store) {
      if (key.startsWith(`${this.#model}:`) && matches(payload) && expiresAtMs > Date.now()) {
        return payload;
      }
    }
    return undefined;
  }
}

function listen(server: http.Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function close(server: http.Server): Promise<void> {
  if (!server.listening) {
    return Promise.resolve();
  }
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
