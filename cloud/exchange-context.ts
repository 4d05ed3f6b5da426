/** What every exchange of a credential for a token needs. */
import type { GatewayIdentity } from './gateway-identity.ts';
import type { SendRequest } from './token-endpoint.ts';

export interface ExchangeContext {
  readonly send: SendRequest;
  readonly identity: GatewayIdentity;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly signal: AbortSignal;
}
