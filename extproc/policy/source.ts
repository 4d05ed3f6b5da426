/** Where a running extproc gets its policy from, and where the policy is applied. */
import type { ThresholdReport } from '../../contract/budget-report.ts';
import type { GatewayPolicy } from '../../contract/policy.ts';
import type { PolicyRevision } from '../../contract/policy-version.ts';
import type { SharedStoreConfig } from '../../contract/shared-store.ts';

export interface PolicySink {
  /**
   * Rejects if the policy cannot be used or is older than the one in force, which then stays in
   * force.
   */
  apply(policy: GatewayPolicy, revision: PolicyRevision): Promise<void>;
  readonly policyVersion: string | undefined;
  /**
   * Counts quotas in this store from now on, without ending streams; undefined: in this process
   * only.
   */
  useSharedStore(config: SharedStoreConfig | undefined): void;
}

/** Whether the store that replicas share can be reached. */
export interface SharedStoreState {
  /** `unused`: this process counts for itself. */
  readonly state: 'unused' | 'available' | 'lost';
  /** Why it is lost, otherwise empty. */
  readonly reason: string;
}

export interface PolicySource {
  /**
   * The details of `/readyz`; `refused` and `refusal` are set while the newest policy cannot be
   * used.
   */
  details(): Readonly<Record<string, string>>;
  /**
   * Asks for the keys of an authenticator's `keysUrl` to be fetched again, because a token named an
   * unknown key. At most one request per URL and second is sent.
   */
  requestKeys(url: string): void;
  /** Tells the controller that the state of the shared store has changed. */
  reportSharedStore?(state: SharedStoreState): void;
  /** Passes on an alert to whoever tells people. */
  reportAlert(alert: ThresholdReport): void;
  close(): Promise<void> | void;
}
