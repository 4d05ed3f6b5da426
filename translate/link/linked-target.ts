/** A backend of a rule or of passthrough, with what its generated route needs. */
import type { Target } from '../../contract/policy.ts';
import type { RouteRule } from '../../crds/route.ts';
import type { UsableBackend } from './backends.ts';

export interface LinkedTarget {
  readonly target: Target;
  /** `NAMESPACE/NAME`. */
  readonly route: string;
  /** The rule's name, or `passthrough`. */
  readonly rule: string;
  readonly backend: UsableBackend;
  readonly timeouts?: RouteRule['timeouts'];
  readonly retries?: RouteRule['retries'];
}
