/** Exchanges the credential of a source for a short-lived token, by one request or none. */
import type { TokenSource } from '../contract/cloud-tokens.ts';
import { bedrockToken } from './aws.ts';
import { entraToken } from './entra.ts';
import type { ExchangeContext } from './exchange-context.ts';
import { newGatewayIdentity } from './gateway-identity.ts';
import { googleToken } from './google.ts';
import { type IssuedToken, newSendRequest } from './token-endpoint.ts';
import type { TokenRenewerOptions } from './token-renewer.ts';

export interface ExchangeOptions {
  /** Of this process; see `GatewayIdentity`. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** See `newSendRequest`. */
  readonly proxy: string | undefined;
}

export function newExchange({ environment, proxy }: ExchangeOptions): TokenRenewerOptions['exchange'] {
  const [send, identity] = [newSendRequest(proxy), newGatewayIdentity(environment)];
  return (source, signal) => exchangeToken(source, { send, identity, now: Date.now, signal });
}

/** Rejects with the reason in plain words, which contains no secret. */
export function exchangeToken(source: TokenSource, context: ExchangeContext): Promise<IssuedToken> {
  switch (source.type) {
    case 'AzureEntra':
      return entraToken(source, context);
    case 'AWS':
      return bedrockToken(source, context);
    case 'GCP':
      return googleToken(source, context);
  }
}
