/**
 * A certified OpenID Provider on the machine of the test, where browsers of the cluster's Gateways
 * log in. Envoy Gateway accepts only issuers with https. The endpoints that the discovery document
 * names have plain HTTP, because Envoy trusts only public authorities there.
 */
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { ClientMetadata } from 'oidc-provider';
import { newAuthority } from '../../../fixtures/certificates.ts';
import { freePorts } from '../../../fixtures/free-ports.ts';
import { type OidcProvider, startOidcProvider } from '../../data-plane/support/oidc-provider.ts';

/** The host's address in the rig's DNS. Envoy Gateway refuses endpoints with a number as host. */
export const ISSUER_HOST = 'host.rig.internal';

export interface LoginIssuer {
  readonly provider: OidcProvider;
  /** `http://HOST:PORT` of the pages. */
  readonly pages: string;
  /** The certificate, in PEM, of the authority of the issuer. */
  readonly authority: string;
  stop(): Promise<void>;
}

export async function startLoginIssuer(host: string, client: ClientMetadata): Promise<LoginIssuer> {
  const [port = 0] = await freePorts(1);
  const pages = `http://${ISSUER_HOST}:${port}`;
  const authority = await newAuthority('Issuers');
  const { cert, key } = await authority.issue({ subject: 'CN=id', dnsNames: [ISSUER_HOST] });
  const discovery = https.createServer({ cert, key }, (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(discovered()));
  });
  await new Promise<void>((resolve) => discovery.listen(0, host, resolve));
  const issuer = `https://${ISSUER_HOST}:${(discovery.address() as AddressInfo).port}`;
  const discovered = () => ({
    issuer,
    jwks_uri: `${pages}/jwks`,
    authorization_endpoint: `${pages}/auth`,
    token_endpoint: `${pages}/token`,
    end_session_endpoint: `${pages}/session/end`,
  });
  const provider = await startOidcProvider({ port, host, issuer, clients: [client] });
  return {
    provider,
    pages,
    authority: authority.cert,
    stop: async () => {
      discovery.close();
      discovery.closeAllConnections();
      await provider.stop();
    },
  };
}
