/** The versions of a policy, in the order in which the controller publishes them. */

export interface PolicyRevision {
  /** The term of a leader; a later leader has a higher one. */
  readonly epoch: number;
  /** Counts the policies of a term. */
  readonly counter: number;
}

export interface PolicyVersion extends PolicyRevision {
  /** The digest of the content, as written in the policy. */
  readonly version: string;
}

export function isOlder(one: PolicyRevision, other: PolicyRevision): boolean {
  return one.epoch < other.epoch || (one.epoch === other.epoch && one.counter < other.counter);
}
