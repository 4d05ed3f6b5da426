/** `tallygate login URL`: signs in at the identity provider of a gateway. */
import { homedir } from 'node:os';
import type { SignIn } from '../contract/access-policy.ts';
import { configHome, type Settings } from './environment.ts';
import { trustSystemAuthorities } from './sign-in/certificate-authorities.ts';
import { CredentialsFile } from './sign-in/credentials.ts';
import { fetchSignIn, gatewayUrl } from './sign-in/gateway.ts';
import {
  authorize,
  discoverProvider,
  type IdentityProvider,
  type SignedIn,
  signInByDevice,
  supportsDevices,
} from './sign-in/identity-provider.ts';
import { openBrowser, openRedirectServer } from './sign-in/redirect-server.ts';
import { printable } from './terminal/printable.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate login URL [OPTION]…

Signs in at the identity provider of the gateway at URL, which publishes what is needed at
URL/.well-known/tallygate. tallygate token then prints tokens. They are kept in
$XDG_CONFIG_HOME/tallygate/credentials.json (~/.config), which only its owner may read.

  --device             shows a code to enter on any device (default without a terminal, without a
                       display and over SSH)
  --browser            opens a browser on this machine (default otherwise)
  --port N             the port of the redirect from the browser, for providers that want a fixed
                       one (any free port)
  --issuer URL         the identity provider, instead of what the gateway publishes
  --client-id ID       the client of command lines at the identity provider (with --issuer)
  --scope "A B"        what to ask for (openid email profile offline_access)
  --audience NAME      the audience of the access token
  --token access|id    the token that the gateway accepts (access)
`;

const options = {
  device: { type: 'boolean', default: false },
  browser: { type: 'boolean', default: false },
  port: { type: 'string', default: '0' },
  issuer: { type: 'string' },
  'client-id': { type: 'string' },
  scope: { type: 'string' },
  audience: { type: 'string' },
  token: { type: 'string' },
} as const;

type LoginOptions = Exclude<ReturnType<typeof readOptions<typeof options>>, number>['values'];

const DEFAULT_SCOPES = ['openid', 'email', 'profile', 'offline_access'];
/** As long as device codes usually last. */
const BROWSER_TIMEOUT_MS = 10 * 60_000;

export const login: Verb = async ({ args, settings }) => {
  const parsed = readOptions('login', args, options, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { values, positionals } = parsed;
  const [address, ...more] = positionals;
  const url = gatewayUrl(address ?? '');
  if (url === undefined || more.length > 0) {
    return wrongUse('login', 'write one URL of a gateway: https, or http on this machine', usage);
  }
  const wrong = wrongOptions(values);
  if (wrong !== undefined) {
    return wrongUse('login', wrong, usage);
  }
  const file = new CredentialsFile(configHome(settings, homedir()));
  // Fails before the user signs in, if others may read the file.
  file.read();
  trustSystemAuthorities();
  const provider = await discoverProvider(await signInOf(url, values));
  const byDevice = values.device || (!values.browser && !hasBrowser(settings) && supportsDevices(provider));
  const { credentials, userName } = byDevice
    ? await signInByDevice(provider, showDevicePrompt)
    : await signInByBrowser(provider, Number(values.port), hasBrowser(settings));
  await file.locked(async (stored, write) =>
    write({ ...stored, current: url, gateways: { ...stored.gateways, [url]: credentials } }),
  );
  tell(`Signed in to ${url}${userName === undefined ? '' : ` as ${userName}`}.`);
  if (credentials.refreshToken === undefined) {
    const until = new Date(credentials.expiresAtMs).toISOString();
    tell(`The identity provider issued no refresh token; sign in again after ${until}.`);
  }
  return 0;
};

/** The provider chooses URLs, codes and names. */
function tell(text: string): void {
  process.stderr.write(`${printable(text)}\n`);
}

async function signInOf(url: string, values: LoginOptions): Promise<SignIn> {
  const { issuer, 'client-id': clientId, scope, audience, token } = values;
  const published: SignIn =
    issuer !== undefined && clientId !== undefined
      ? { issuer, clientId, audiences: [], scopes: DEFAULT_SCOPES, token: 'access' }
      : await fetchSignIn(url);
  return {
    ...published,
    scopes: scope === undefined ? published.scopes : scope.split(' ').filter((one) => one !== ''),
    audiences: audience === undefined ? published.audiences : [audience],
    token: token === undefined ? published.token : token === 'id' ? 'id' : 'access',
  };
}

function showDevicePrompt(prompt: {
  readonly url: string;
  readonly code: string;
  readonly urlWithCode?: string | undefined;
}): void {
  tell(`Open ${prompt.url} and enter the code ${prompt.code}`);
  if (prompt.urlWithCode !== undefined) {
    tell(`or open ${prompt.urlWithCode}`);
  }
}

async function signInByBrowser(provider: IdentityProvider, port: number, opens: boolean): Promise<SignedIn> {
  const server = await openRedirectServer(port);
  let shown = 'The sign-in failed. The terminal shows the reason.';
  try {
    const { url, state, finish } = await authorize(provider, server.uri);
    tell(`Open ${url}`);
    if (opens) {
      openBrowser(url, process.platform);
    }
    const result = await finish(await server.redirect(state, BROWSER_TIMEOUT_MS));
    shown = 'You are signed in. You can close this window.';
    return result;
  } finally {
    server.close(shown);
  }
}

function hasBrowser({ SSH_CONNECTION, DISPLAY, WAYLAND_DISPLAY }: Settings): boolean {
  const hasDisplay = process.platform === 'darwin' || DISPLAY !== undefined || WAYLAND_DISPLAY !== undefined;
  return process.stderr.isTTY && SSH_CONNECTION === undefined && hasDisplay;
}

function wrongOptions(values: LoginOptions): string | undefined {
  if (values.device && values.browser) {
    return 'write either --device or --browser';
  }
  if ((values.issuer === undefined) !== (values['client-id'] === undefined)) {
    return '--issuer and --client-id belong together';
  }
  if (values.token !== undefined && values.token !== 'access' && values.token !== 'id') {
    return '--token must be access or id';
  }
  return /^\d{1,5}$/.test(values.port) && Number(values.port) <= 65535 ? undefined : '--port must be a port';
}
