/** Keeps pages of other origins from calling the API of a console in somebody's browser. */
import type { IncomingHttpHeaders } from 'node:http';

/** How a request reached the console. */
export interface OwnOrigin {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  /** Whether the request comes from this machine without a proxy; see `isLocalRequest`. */
  readonly isLocal: boolean;
}

/**
 * Returns why a request is refused that a page of another origin may have caused; undefined: it is
 * none. The API takes no cookies, so a page elsewhere has no credential; where none is needed, the
 * name in `host` must be one that nobody else can point to this machine.
 */
export function refusedOrigin({ method, headers }: OwnOrigin): string | undefined {
  const { host = '', origin } = headers;
  if (origin !== undefined && hostOf(origin) !== host.toLowerCase()) {
    return `The page is of ${origin.slice(0, 100)}, and the console of ${host.slice(0, 100)}. Open the console itself.`;
  }
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') {
    return 'A page of another origin may not use the console. Open the console itself.';
  }
  if (method !== 'GET' && headers['content-type'] !== 'application/json') {
    return 'The content type must be application/json.';
  }
  return undefined;
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

const LOOPBACK_HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/i;
const LOOPBACK_PEER = /^(::ffff:)?127\.|^::1$/;
const PROXY_HEADERS = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'] as const;

/**
 * Whether somebody on this machine asks: by a loopback address and name, so that no name of others
 * that resolves to this machine counts, and not through a proxy, which may serve the network.
 * `peer` is undefined on a Unix socket.
 */
export function isLocalRequest(headers: IncomingHttpHeaders, peer: string | undefined): boolean {
  const isLoopback = peer === undefined || LOOPBACK_PEER.test(peer);
  return isLoopback && LOOPBACK_HOST.test(headers.host ?? '') && PROXY_HEADERS.every((name) => !headers[name]);
}

/** Returns the name of a call, in which `ID` stands for the id of a stream. */
export function callOf({ method, path }: { readonly method: string; readonly path: string }): {
  readonly name: string;
  readonly id: string;
} {
  const [, id] = /^streams\/([\w-]{1,64})\/stop$/.exec(path) ?? [];
  return { name: `${method} ${id === undefined ? path : 'streams/ID/stop'}`, id: id ?? '' };
}
