/** The secrets of detectors in a proxy of a cluster, which the controller sends. */

export class PushedSecrets {
  #secrets: Readonly<Record<string, string>> = {};
  #before: Readonly<Record<string, string>> = {};

  /**
   * Replaces all secrets. Those before stay usable until the next time: they come before the policy
   * that no longer names them.
   */
  use(secrets: Readonly<Record<string, string>>): void {
    this.#before = this.#secrets;
    this.#secrets = secrets;
  }

  /** Returns the value of a secret; undefined: the controller has not sent it. */
  value(id: string): string | undefined {
    return own(this.#secrets, id) ?? own(this.#before, id);
  }
}

function own(secrets: Readonly<Record<string, string>>, id: string): string | undefined {
  return Object.hasOwn(secrets, id) ? secrets[id] : undefined;
}
