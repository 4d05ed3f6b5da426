import type { KeySecret } from './key-secret.ts';

/** Where the Secrets of API keys are: a file or a namespace of a cluster. */
export interface ApiKeyStore {
  /** Its name for messages. */
  readonly place: string;
  readonly namespace: string;
  list(): Promise<readonly KeySecret[]>;
  /** Rejects if there is a Secret of this name. */
  create(secret: KeySecret): Promise<void>;
  /** Returns false if there is no key of this name. */
  remove(name: string): Promise<boolean>;
  close(): void;
}
