/** Reports passthrough endpoints that guardrails keep closed, because nothing reads them. */
import { type Diagnostics, subject } from '../diagnostics.ts';
import { guardrailsOf } from './guardrails.ts';
import type { LinkedVirtualHost } from './virtual-hosts.ts';

/** Warns about each endpoint once. */
export function reportUnexamined(virtualHosts: readonly LinkedVirtualHost[], diagnostics: Diagnostics): void {
  const reported = new Set<object>();
  for (const { route, passthrough, policies } of virtualHosts.flatMap((each) => each.passthrough)) {
    const { item } = passthrough;
    const closed = guardrailsOf(policies).find(({ rules }) => rules.some(({ onFailure }) => onFailure === 'Closed'));
    if (closed === undefined || reported.has(item)) {
      continue;
    }
    reported.add(item);
    diagnostics.warning(subject('AIGatewayRoute', route.route), {
      reason: 'Unsupported',
      path: `spec.passthrough[${(route.route.spec.passthrough ?? []).indexOf(item)}]`,
      message: `AIGuardrailPolicy ${closed.name} cannot examine ${item.method} ${item.path}, so its requests are refused`,
      fix: 'list the endpoint on a route without guardrails, or set onFailure: Open in all rules of the policy',
    });
  }
}
