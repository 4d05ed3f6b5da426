/**
 * Browser login: Envoy's oauth2 filter, enabled where an access policy has OIDC. It keeps the
 * session in cookies, whose tokens only it can decrypt, and passes the ID token on in a cookie,
 * which extproc verifies as any other token.
 */
import { createHmac } from 'node:crypto';
import { CREDENTIAL_HEADERS } from '../../contract/headers.ts';
import { type BrowserLogin, ID_TOKEN_COOKIE } from '../link/authenticators.ts';
import type { Endpoint } from '../link/endpoints.ts';
import { issuerName, loginSecretName, OAUTH2_FILTER, sessionSecretName } from '../names.ts';
import type { EnvoyOptions, EnvoySecret, JsonObject, NamedResource } from '../plan.ts';
import { secretText } from '../world.ts';
import { fileSources, providerCluster } from './clusters.ts';
import { fileOf, fileSource, type HttpFilterResource, typed } from './resource.ts';

/** Without a configuration: routes bring their own. */
export const oauth2Filter: HttpFilterResource = {
  name: OAUTH2_FILTER,
  typed_config: typed('envoy.extensions.filters.http.oauth2.v3.OAuth2', {}),
};

/** Enables the filter on a virtual host. */
export function loginConfig(login: BrowserLogin, options: EnvoyOptions): JsonObject {
  return typed('envoy.config.route.v3.FilterConfig', {
    config: typed('envoy.extensions.filters.http.oauth2.v3.OAuth2PerRoute', { config: oauth2(login, options) }),
  });
}

/** Returns the clusters for the token endpoints. */
export function issuerClusters(logins: readonly BrowserLogin[], options: EnvoyOptions): readonly NamedResource[] {
  return unique(logins).map((login) => issuerCluster(login, options));
}

/**
 * Returns the secret of each client, and the key that signs and encrypts its sessions. The key is
 * derived, so that sessions survive a restart.
 */
export function loginSecrets(logins: readonly BrowserLogin[], installationSecret: string): readonly EnvoySecret[] {
  return unique(logins).flatMap(({ id, clientSecret }) => {
    const key = createHmac('sha256', installationSecret).update(`session ${id}`).digest('base64');
    const session: EnvoySecret = { name: sessionSecretName(id), type: 'Generic', value: secretText(key) };
    return clientSecret === undefined
      ? []
      : [{ name: loginSecretName(id), type: 'Generic', value: clientSecret }, session];
  });
}

function unique(logins: readonly BrowserLogin[]): readonly BrowserLogin[] {
  return [...new Map(logins.map((login) => [login.id, login])).values()];
}

function issuerCluster({ id, endpoints }: BrowserLogin, options: EnvoyOptions): NamedResource {
  const url = new URL(endpoints.token);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const isSecure = url.protocol === 'https:';
  const endpoint: Endpoint = {
    host,
    port: Number(url.port) || (isSecure ? 443 : 80),
    ...(isSecure && { tls: { hostname: host } }),
  };
  return providerCluster(issuerName(id), endpoint, {}, fileSources(options));
}

function oauth2(login: BrowserLogin, { directory }: EnvoyOptions): JsonObject {
  const { id, endpoints } = login;
  const secret = (name: string) => ({ name, sds_config: fileSource(directory, fileOf('secret', name)) });
  return {
    stat_prefix: 'tallygate.',
    token_endpoint: { uri: endpoints.token, cluster: issuerName(id), timeout: '10s' },
    authorization_endpoint: endpoints.authorization,
    ...(endpoints.endSession !== undefined && { end_session_endpoint: endpoints.endSession }),
    redirect_uri: `%REQ(x-forwarded-proto)%://%REQ(:authority)%${login.redirectPath}`,
    redirect_path_matcher: { path: { exact: login.redirectPath } },
    signout_path: { path: { exact: login.logoutPath } },
    credentials: {
      client_id: login.clientId,
      token_secret: secret(loginSecretName(id)),
      hmac_secret: secret(sessionSecretName(id)),
      cookie_names: cookieNames,
    },
    // OpenID Connect requires that every issuer accepts it.
    auth_type: 'BASIC_AUTH',
    auth_scopes: login.scopes,
    use_refresh_token: true,
    preserve_authorization_header: true,
    // Clients with a credential of their own have no session.
    pass_through_matcher: [
      ...CREDENTIAL_HEADERS.map((name) => ({ name, present_match: true })),
      { name: ':path', string_match: { prefix: '/.well-known/' } },
    ],
    deny_redirect_matcher: notPages,
    cookie_configs: Object.fromEntries(cookieKinds.map((kind) => [`${kind}_cookie_config`, { same_site: 'LAX' }])),
  };
}

const cookieNames = {
  bearer_token: 'tallygate-access-token',
  oauth_hmac: 'tallygate-session',
  oauth_expires: 'tallygate-session-expires',
  id_token: ID_TOKEN_COOKIE,
  refresh_token: 'tallygate-refresh-token',
  oauth_nonce: 'tallygate-login-nonce',
  code_verifier: 'tallygate-login-verifier',
};

const cookieKinds = [
  'bearer_token',
  'oauth_hmac',
  'oauth_expires',
  'id_token',
  'refresh_token',
  'oauth_nonce',
  'code_verifier',
];

/** Requests that get 401 instead of a redirect: all but a browser's navigation to a page. */
const notPages = [
  { name: ':method', string_match: { exact: 'GET' }, invert_match: true },
  { name: 'accept', string_match: { contains: 'text/html' }, treat_missing_header_as_empty: true, invert_match: true },
  { name: 'x-requested-with', present_match: true },
];
