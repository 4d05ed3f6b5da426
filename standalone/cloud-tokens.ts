/** Metrics about the tokens of clouds on one machine. */
import type { TokenCounts } from '../cloud/token-renewer.ts';
import { gaugeText } from './issuer-keys.ts';

/** Returns metrics in the Prometheus format, with the names that the controller has. */
export function tokenMetrics({ wanted, failing, missing }: TokenCounts): string {
  if (wanted === 0) {
    return '';
  }
  return (
    gaugeText('tallygate_cloud_tokens', 'Backends whose credential is a token of a cloud.', wanted) +
    gaugeText('tallygate_cloud_tokens_failing', 'Tokens whose last fetch failed.', failing) +
    gaugeText('tallygate_cloud_tokens_missing', 'Backends without a valid token.', missing)
  );
}
