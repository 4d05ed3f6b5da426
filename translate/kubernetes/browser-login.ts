/**
 * Browser login in a cluster: a SecurityPolicy with `oidc` on the entry HTTPRoute. Envoy Gateway
 * configures Envoy's oauth2 filter from it, with its own key for sessions.
 */
import { CREDENTIAL_HEADERS } from '../../contract/headers.ts';
import { GATEWAY_GROUP } from '../../crds/schema.ts';
import { accessOf, browserLoginOf } from '../link/access-in-use.ts';
import { type BrowserLogin, ID_TOKEN_COOKIE } from '../link/authenticators.ts';
import type { LinkedVirtualHost } from '../link/virtual-hosts.ts';
import type { JsonObject } from '../plan.ts';
import { loginConflict } from './login-conflicts.ts';
import { type Identity, manifest } from './manifest.ts';
import type { Manifest } from './plan.ts';
import type { UserPolicyContext } from './user-policies.ts';

/**
 * Returns the policy for the entry route of a virtual host, if browsers log in there and no policy
 * of the user would be weaker with it.
 */
export function securityPolicies(
  virtualHost: LinkedVirtualHost,
  entry: Identity,
  context: UserPolicyContext,
): readonly Manifest[] {
  const login = browserLoginOf(virtualHost);
  if (login === undefined || loginConflict(virtualHost.listener, entry.namespace, context) !== undefined) {
    return [];
  }
  const { namespace, name, owner } = entry;
  const passes = acceptsHeaders(virtualHost);
  const spec = {
    targetRefs: [{ group: GATEWAY_GROUP, kind: 'HTTPRoute', name }],
    // Keeps the other fields of a user's policy on the Gateway.
    mergeType: 'StrategicMerge',
    oidc: { ...oidc(login, namespace), ...(passes && { passThroughAuthHeader: true }) },
    ...(passes && { jwt: credentialsPass }),
  };
  return [manifest('SecurityPolicy', { namespace, name, owner }, { spec })];
}

/** Returns whether an access policy accepts credentials in headers, which have no session. */
function acceptsHeaders({ rules, passthrough }: LinkedVirtualHost): boolean {
  return [...rules, ...passthrough].some(({ policies }) =>
    accessOf(policies).some(({ policy }) =>
      policy.authenticators.some(
        (each) => each.type === 'APIKey' || (each.type === 'JWT' && each.cookie === undefined),
      ),
    ),
  );
}

function oidc({ issuer, endpoints, clientId, ...login }: BrowserLogin, namespace: string): JsonObject {
  const [secretNamespace = '', secretName = ''] = login.secretName.split('/');
  return {
    provider: {
      issuer,
      authorizationEndpoint: endpoints.authorization,
      tokenEndpoint: endpoints.token,
      ...(endpoints.endSession !== undefined && { endSessionEndpoint: endpoints.endSession }),
    },
    clientID: clientId,
    clientSecret: {
      group: '',
      kind: 'Secret',
      name: secretName,
      ...(secretNamespace !== namespace && { namespace: secretNamespace }),
    },
    cookieNames: { accessToken: 'tallygate-access-token', idToken: ID_TOKEN_COOKIE },
    cookieConfig: { sameSite: 'Lax' },
    scopes: login.scopes,
    redirectURL: `%REQ(x-forwarded-proto)%://%REQ(:authority)%${login.redirectPath}`,
    logoutPath: login.logoutPath,
    denyRedirect: { headers: notPages },
  };
}

/** Requests that get 401 instead of a redirect. The API cannot say: all but those for text/html. */
const notPages = [
  { name: ':method', type: 'RegularExpression', value: 'HEAD|POST|PUT|PATCH|DELETE|OPTIONS' },
  { name: 'accept', type: 'RegularExpression', value: '\\*/\\*|(application|audio|image)/.*|text/event-stream.*' },
  { name: 'sec-fetch-mode', type: 'RegularExpression', value: 'cors|no-cors|same-origin' },
  { name: 'x-requested-with', type: 'RegularExpression', value: '.*' },
];

/** A public key whose private key is published in RFC 7517, appendix A: never use it to trust. */
const unusedKey =
  '{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}';

/**
 * Lets requests with a credential in a header pass: Envoy Gateway skips the login for the headers
 * of JWT providers. The provider itself decides nothing, because `failOpen` accepts whatever it
 * finds; extproc verifies the credential.
 */
const credentialsPass = {
  failOpen: true,
  providers: [
    {
      name: 'tallygate',
      localJWKS: { type: 'Inline', inline: unusedKey },
      extractFrom: { headers: CREDENTIAL_HEADERS.map((name) => ({ name })) },
    },
  ],
};
