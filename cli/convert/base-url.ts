/** URLs of providers, as endpoints of an AIBackend. */

export interface BaseUrl {
  readonly host: string;
  readonly port?: number;
  readonly isPlain: boolean;
  /** Without a slash at its end. */
  readonly path: string;
}

/** Reads a URL; undefined if it is none with a host that an AIBackend can name. */
export function baseUrl(text: string): BaseUrl | undefined {
  const url = URL.parse(/^[a-z]+:\/\//i.test(text) ? text : `https://${text}`);
  const host = url?.hostname.replaceAll(/[[\]]/g, '') ?? '';
  if (
    url === null ||
    !/^https?:$/.test(url.protocol) ||
    /^0\.(?!0\.0\.0$)/.test(host) ||
    !/^[A-Za-z0-9:]([-A-Za-z0-9.:]*[A-Za-z0-9:])?$/.test(host)
  ) {
    return undefined;
  }
  const isPlain = url.protocol === 'http:';
  const path = url.pathname.replace(/\/+$/, '');
  return {
    // The name that Tallygate connects to; 0.0.0.0 is an address to listen on.
    host: host === '0.0.0.0' ? '127.0.0.1' : host,
    isPlain,
    path: /^(\/[A-Za-z0-9._~-]+)*$/.test(path) ? path : '',
    ...(url.port === '' ? (isPlain ? { port: 80 } : {}) : { port: Number(url.port) }),
  };
}

export function endpointOf({ host, port, isPlain }: BaseUrl): object {
  return {
    type: 'Hostname',
    hostname: { name: host, ...(port !== undefined && { port }) },
    ...(isPlain && { tls: { mode: 'Disabled' } }),
  };
}
