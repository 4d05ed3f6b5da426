/** Requests to an OpenID Provider: device authorization, authorization code with PKCE, refresh. */
import * as oidc from 'openid-client';
import type { SignIn } from '../../contract/access-policy.ts';
import { errorMessage } from '../../runtime/error-message.ts';
import { OperatorError } from '../../standalone/operator-error.ts';
import type { GatewayCredentials } from './credentials.ts';
import { isSafe, reasonOf } from './gateway.ts';

type Tokens = oidc.TokenEndpointResponse & oidc.TokenEndpointResponseHelpers;

/** For a token without any expiry time. */
const DEFAULT_LIFETIME_MS = 5 * 60_000;
const REQUEST_TIMEOUT_SECONDS = 15;

export interface IdentityProvider {
  readonly signIn: SignIn;
  readonly configuration: oidc.Configuration;
}

export interface SignedIn {
  readonly credentials: GatewayCredentials;
  /** The user's email address or another name, if an ID token has one. */
  readonly userName: string | undefined;
}

export type Refreshed =
  | { readonly type: 'Refreshed'; readonly credentials: GatewayCredentials }
  /** The identity provider refuses the refresh token for good. */
  | { readonly type: 'Refused'; readonly reason: string }
  | { readonly type: 'Failed'; readonly reason: string };

/** Reads the provider's metadata. */
export async function discoverProvider(signIn: SignIn): Promise<IdentityProvider> {
  const issuer = URL.canParse(signIn.issuer) ? new URL(signIn.issuer) : undefined;
  if (issuer === undefined || !isSafe(issuer)) {
    throw new OperatorError(`the issuer ${signIn.issuer} must be an https URL; correct it`);
  }
  // HTTP reaches here only on the loopback address.
  const execute = issuer.protocol === 'http:' ? [oidc.allowInsecureRequests] : [];
  const configuration = await ofProvider(
    signIn,
    oidc.discovery(issuer, signIn.clientId, undefined, oidc.None(), { execute, timeout: REQUEST_TIMEOUT_SECONDS }),
  );
  return { signIn, configuration };
}

export function supportsDevices({ configuration }: IdentityProvider): boolean {
  return configuration.serverMetadata().device_authorization_endpoint !== undefined;
}

/** Signs in while the user opens a page on any device; `show` tells the user which. */
export async function signInByDevice(
  provider: IdentityProvider,
  show: (prompt: { readonly url: string; readonly code: string; readonly urlWithCode: string | undefined }) => void,
): Promise<SignedIn> {
  const { configuration, signIn } = provider;
  const device = await ofProvider(signIn, oidc.initiateDeviceAuthorization(configuration, requested(signIn)));
  show({ url: device.verification_uri, code: device.user_code, urlWithCode: device.verification_uri_complete });
  return signedIn(signIn, await ofProvider(signIn, oidc.pollDeviceAuthorizationGrant(configuration, device)));
}

/** The part of an authorization code flow between the two requests. */
export interface PendingAuthorization {
  /** The page that the user must open. */
  readonly url: string;
  readonly state: string;
  /** Exchanges the code in the URL to which the provider has redirected the browser. */
  finish(redirect: URL): Promise<SignedIn>;
}

export async function authorize(provider: IdentityProvider, redirectUri: string): Promise<PendingAuthorization> {
  const { configuration, signIn } = provider;
  const verifier = oidc.randomPKCECodeVerifier();
  const state = oidc.randomState();
  const nonce = signIn.scopes.includes('openid') ? oidc.randomNonce() : undefined;
  const url = oidc.buildAuthorizationUrl(configuration, {
    ...requested(signIn),
    redirect_uri: redirectUri,
    state,
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    ...(nonce !== undefined && { nonce }),
  });
  return {
    url: url.href,
    state,
    finish: async (redirect) => {
      const checks = { pkceCodeVerifier: verifier, expectedState: state, ...(nonce && { expectedNonce: nonce }) };
      return signedIn(signIn, await ofProvider(signIn, oidc.authorizationCodeGrant(configuration, redirect, checks)));
    },
  };
}

export async function refreshCredentials(credentials: GatewayCredentials, refreshToken: string): Promise<Refreshed> {
  const { signIn } = credentials;
  try {
    const { configuration } = await discoverProvider(signIn);
    const tokens = await oidc.refreshTokenGrant(configuration, refreshToken).catch((error: unknown) => {
      throw isRefusal(error) ? error : providerError(signIn, error);
    });
    // A provider that does not rotate refresh tokens may leave the token out.
    const refreshed = signedIn(signIn, tokens).credentials;
    return { type: 'Refreshed', credentials: { ...refreshed, refreshToken: refreshed.refreshToken ?? refreshToken } };
  } catch (error) {
    return { type: isRefusal(error) ? 'Refused' : 'Failed', reason: errorMessage(error) };
  }
}

/** Revokes the refresh token, if the provider can. Returns whether it did. */
export async function revokeCredentials({ signIn, refreshToken }: GatewayCredentials): Promise<boolean> {
  if (refreshToken === undefined) {
    return true;
  }
  try {
    const { configuration } = await discoverProvider(signIn);
    await oidc.tokenRevocation(configuration, refreshToken, { token_type_hint: 'refresh_token' });
    return true;
  } catch {
    return false;
  }
}

function requested({ scopes, audiences, token }: SignIn): Record<string, string> {
  const [audience] = audiences;
  return {
    scope: scopes.join(' '),
    // Some providers (Auth0) name the API this way; others ignore what they do not know (RFC 6749).
    ...(token === 'access' && audience !== undefined && { audience }),
  };
}

function signedIn(signIn: SignIn, tokens: Tokens): SignedIn {
  const claims = tokens.claims();
  const token = signIn.token === 'id' ? tokens.id_token : tokens.access_token;
  if (token === undefined) {
    throw new OperatorError(
      `the identity provider ${signIn.issuer} issued no ID token, which the gateway needs; add the scope openid`,
    );
  }
  const issuedAtMs = Date.now();
  const lifetimeSeconds = signIn.token === 'id' ? undefined : tokens.expiresIn();
  const expiresAtMs = lifetimeSeconds === undefined ? expiryOfJwt(token) : issuedAtMs + lifetimeSeconds * 1000;
  const name = claims?.['email'] ?? claims?.['preferred_username'] ?? claims?.sub;
  return {
    credentials: {
      signIn,
      token,
      issuedAtMs,
      expiresAtMs: expiresAtMs ?? issuedAtMs + DEFAULT_LIFETIME_MS,
      refreshToken: tokens.refresh_token,
    },
    userName: typeof name === 'string' ? name : undefined,
  };
}

function expiryOfJwt(token: string): number | undefined {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { exp?: unknown };
    return typeof claims.exp === 'number' ? claims.exp * 1000 : undefined;
  } catch {
    return undefined;
  }
}

function isRefusal(error: unknown): error is oidc.ResponseBodyError {
  return error instanceof oidc.ResponseBodyError && error.error === 'invalid_grant';
}

async function ofProvider<T>(signIn: SignIn, request: Promise<T>): Promise<T> {
  try {
    return await request;
  } catch (error) {
    throw providerError(signIn, error);
  }
}

function providerError({ issuer, clientId }: SignIn, error: unknown): OperatorError {
  const provider = `the identity provider ${issuer}`;
  if (error instanceof oidc.ResponseBodyError || error instanceof oidc.AuthorizationResponseError) {
    const reason = error.error_description === undefined ? error.error : `${error.error} (${error.error_description})`;
    const fix =
      error.error === 'access_denied' ? 'sign in again' : `check the client ${clientId} there, and sign in again`;
    return new OperatorError(`${provider} refuses the sign-in: ${reason}; ${fix}`);
  }
  // A failed fetch is a TypeError; openid-client names a time-out by a code.
  if (error instanceof TypeError || (error as { code?: unknown }).code === 'OAUTH_TIMEOUT') {
    return new OperatorError(`cannot reach ${provider}: ${reasonOf(error)}; check the network and try again`);
  }
  return new OperatorError(`${provider} answers unexpectedly: ${reasonOf(error)}; check the issuer`);
}
