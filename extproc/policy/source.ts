/** Where a running extproc gets its policy from, and where the policy is applied. */
import type { GatewayPolicy } from '../../contract/policy.ts';

export interface PolicySink {
  /** Rejects if the policy cannot be used; the last good policy then stays in force. */
  apply(policy: GatewayPolicy): Promise<void>;
  readonly policyVersion: string | undefined;
}

export interface PolicySource {
  /**
   * The details of `/readyz`; `refused` and `refusal` are set while the newest policy cannot be
   * used.
   */
  details(): Readonly<Record<string, string>>;
  close(): Promise<void> | void;
}
