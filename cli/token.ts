/**
 * `tallygate token [URL]`: prints a token for a gateway, refreshed if need be, and nothing else.
 */
import { homedir } from 'node:os';
import { OperatorError } from '../standalone/operator-error.ts';
import { configHome } from './environment.ts';
import { trustSystemAuthorities } from './sign-in/certificate-authorities.ts';
import { CredentialsFile, type GatewayCredentials, type StoredCredentials } from './sign-in/credentials.ts';
import { gatewayUrl } from './sign-in/gateway.ts';
import { refreshCredentials } from './sign-in/identity-provider.ts';
import { writeError } from './terminal/errors.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate token [URL]

Prints a token for the gateway at URL, or for that of the last tallygate login. A token that
ends soon is refreshed first. For Claude Code's apiKeyHelper, and for
OPENAI_API_KEY=$(tallygate token).
`;

/**
 * Claude Code and Codex keep what the command prints for 5 minutes, so a token must live longer. Of
 * tokens with a short life, the first half is used.
 */
const MIN_REMAINING_MS = 6 * 60_000;

export const token: Verb = async ({ args, settings }) => {
  const parsed = readOptions('token', args, {}, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const [address, ...more] = parsed.positionals;
  const url = address === undefined ? undefined : gatewayUrl(address);
  if (more.length > 0 || (address !== undefined && url === undefined)) {
    return wrongUse('token', 'write at most one URL of a gateway: https, or http on this machine', usage);
  }
  const file = new CredentialsFile(configHome(settings, homedir()));
  const found = credentialsOf(file.read(), url);
  const usable = isFresh(found.credentials)
    ? found.credentials
    : await file.locked((stored, write) => refreshed(stored, url, write));
  process.stdout.write(`${usable.token}\n`);
  return 0;
};

/** Refreshes what another process has not refreshed meanwhile. */
async function refreshed(
  stored: StoredCredentials,
  asked: string | undefined,
  write: (changed: StoredCredentials) => void,
): Promise<GatewayCredentials> {
  const { url, credentials } = credentialsOf(stored, asked);
  if (isFresh(credentials)) {
    return credentials;
  }
  const signInAgain = `run tallygate login ${url}`;
  const { refreshToken } = credentials;
  const isValid = credentials.expiresAtMs > Date.now();
  if (refreshToken === undefined) {
    if (isValid) {
      return credentials;
    }
    throw new OperatorError(`the sign-in to ${url} has expired; ${signInAgain}`);
  }
  trustSystemAuthorities();
  const result = await refreshCredentials(credentials, refreshToken);
  if (result.type === 'Refreshed') {
    write({ ...stored, gateways: { ...stored.gateways, [url]: result.credentials } });
    return result.credentials;
  }
  const message =
    result.type === 'Refused' ? `the sign-in to ${url} has expired (${result.reason}); ${signInAgain}` : result.reason;
  if (!isValid) {
    throw new OperatorError(message);
  }
  writeError(message);
  return credentials;
}

function credentialsOf(
  stored: StoredCredentials,
  asked: string | undefined,
): { readonly url: string; readonly credentials: GatewayCredentials } {
  const url = asked ?? stored.current;
  if (url === undefined) {
    throw new OperatorError('not signed in; run tallygate login URL with the URL of the gateway');
  }
  const credentials = Object.hasOwn(stored.gateways, url) ? stored.gateways[url] : undefined;
  if (credentials === undefined) {
    throw new OperatorError(`not signed in to ${url}; run tallygate login ${url}`);
  }
  return { url, credentials };
}

function isFresh({ issuedAtMs, expiresAtMs }: GatewayCredentials): boolean {
  return expiresAtMs - Date.now() > Math.min(MIN_REMAINING_MS, (expiresAtMs - issuedAtMs) / 2);
}
