/**
 * An issuer on the machine of the test, which the controller reaches at the host's address in the
 * rig's network.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { type IssuerKey, newIssuerKeys, signToken, type TokenOptions } from '../../data-plane/support/oidc-tokens.ts';

export interface HostIssuer {
  /** `http://HOST:PORT`. */
  readonly url: string;
  token(options?: TokenOptions): Promise<string>;
  /** Signs with other keys from now on; the old ones are no longer published. */
  rotate(): Promise<void>;
  /** Refuses connections until `up`. */
  down(): Promise<void>;
  up(): Promise<void>;
}

export async function startHostIssuer(host: string): Promise<HostIssuer> {
  let keys: readonly IssuerKey[] = await newIssuerKeys(1);
  let generation = 1;
  const server = http.createServer((request, response) => {
    const isKeys = request.url === '/jwks';
    const document = { issuer: url, jwks_uri: `${url}/jwks` };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(isKeys ? { keys: keys.map(({ publicJwk }) => publicJwk) } : document));
  });
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, host, resolve));
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const url = `http://${host}:${port}`;
  return {
    url,
    token: (options) => signToken(keys, { issuer: url, audience: 'ai-gateway' }, options),
    async rotate() {
      generation++;
      keys = await newIssuerKeys(generation);
    },
    down: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
    up: () => listen(port),
  };
}
