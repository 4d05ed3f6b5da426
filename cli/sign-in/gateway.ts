/** What a gateway publishes about signing in. */
import type { SignIn } from '../../contract/access-policy.ts';
import { readSignIn, WELL_KNOWN_PATH } from '../../contract/well-known.ts';
import { errorMessage } from '../../runtime/error-message.ts';
import { OperatorError } from '../../standalone/operator-error.ts';

const TIMEOUT_MS = 15_000;
const FLAGS = 'or pass --issuer and --client-id';

/** Returns the URL without a slash at its end, or undefined if tokens must not be sent there. */
export function gatewayUrl(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !isSafe(url) || url.username !== '' || url.search !== '' || url.hash !== '') {
    return undefined;
  }
  return url.href.replace(/\/+$/, '');
}

/** Returns whether what is sent to the URL stays secret: HTTPS, or HTTP on this machine. */
export function isSafe({ protocol, hostname }: URL): boolean {
  const isLoopback = hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
  return protocol === 'https:' || (protocol === 'http:' && isLoopback);
}

export async function fetchSignIn(url: string): Promise<SignIn> {
  const address = `${url}${WELL_KNOWN_PATH}`;
  let response: Response;
  try {
    // A redirect could lead to another issuer.
    response = await fetch(address, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    throw new OperatorError(`cannot reach ${address}: ${reasonOf(error)}; check the URL, ${FLAGS}`);
  }
  if (response.status === 404) {
    throw new OperatorError(
      `${url} does not publish how to sign in; ask for the settings of its AIAccessPolicy, ${FLAGS}`,
    );
  }
  if (!response.ok) {
    throw new OperatorError(`${address} answers ${response.status}; check the URL, ${FLAGS}`);
  }
  const read = readSignIn(await response.json().catch(() => undefined));
  if ('problem' in read) {
    throw new OperatorError(`${address} ${read.problem}; update tallygate or the gateway, ${FLAGS}`);
  }
  return read;
}

/**
 * Returns the innermost reason of a failed fetch, such as `connect ECONNREFUSED 127.0.0.1:9900`.
 */
export function reasonOf(error: unknown): string {
  let innermost = error;
  while (innermost instanceof Error && innermost.cause instanceof Error) {
    innermost = innermost.cause;
  }
  return errorMessage(innermost);
}
