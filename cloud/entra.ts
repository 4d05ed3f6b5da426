/** Access tokens of Microsoft Entra ID, by the client credentials grant (RFC 6749, section 4.4). */
import type { AzureCloud, EntraSource } from '../contract/cloud-tokens.ts';
import type { ExchangeContext } from './exchange-context.ts';
import { accessTokenIn, formRequest, type IssuedToken } from './token-endpoint.ts';

const authorities: Readonly<Record<AzureCloud, string>> = {
  Public: 'login.microsoftonline.com',
  USGovernment: 'login.microsoftonline.us',
  China: 'login.chinacloudapi.cn',
};

export async function entraToken(
  { cloud, tenantId, clientId, scope, clientSecret }: EntraSource,
  { send, identity, now, signal }: ExchangeContext,
): Promise<IssuedToken> {
  const proof =
    clientSecret === undefined
      ? {
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          client_assertion: federatedToken(identity),
        }
      : { client_secret: clientSecret.reveal() };
  const url = `https://${authorities[cloud]}/${tenantId}/oauth2/v2.0/token`;
  const fields = { grant_type: 'client_credentials', client_id: clientId, scope, ...proof };
  return accessTokenIn(await send(formRequest(url, fields), signal), now());
}

/** Returns the token of the workload identity, which Entra ID knows by a federated credential. */
function federatedToken(identity: ExchangeContext['identity']): string {
  const path = identity.variable('AZURE_FEDERATED_TOKEN_FILE');
  if (path === undefined) {
    throw new Error('this process has no workload identity (AZURE_FEDERATED_TOKEN_FILE is not set)');
  }
  return identity.file(path);
}
