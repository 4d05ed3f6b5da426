/** Signature Version 4 by AWS's own implementation, with the hashes of Node. */
import { createHash, createHmac } from 'node:crypto';
import { SignatureV4 } from '@smithy/signature-v4';

export interface AwsCredentials {
  readonly id: string;
  readonly secret: string;
  readonly sessionToken?: string;
  /** Milliseconds since 1970; absent: they do not expire. */
  readonly expiresAtMs?: number;
}

export function awsSigner({ id, secret, sessionToken }: AwsCredentials, region: string, service: string): SignatureV4 {
  return new SignatureV4({
    credentials: { accessKeyId: id, secretAccessKey: secret, ...(sessionToken !== undefined && { sessionToken }) },
    region,
    service,
    sha256: Sha256,
    applyChecksum: true,
  });
}

type HashInput = string | ArrayBuffer | ArrayBufferView;

class Sha256 {
  readonly #key: HashInput | undefined;
  #hash: ReturnType<typeof newHash>;

  constructor(key?: HashInput) {
    this.#key = key;
    this.#hash = newHash(key);
  }

  update(chunk: HashInput): void {
    this.#hash.update(bytes(chunk));
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }

  reset(): void {
    this.#hash = newHash(this.#key);
  }
}

function newHash(key: HashInput | undefined) {
  return key === undefined ? createHash('sha256') : createHmac('sha256', bytes(key));
}

function bytes(input: HashInput): Uint8Array {
  if (typeof input === 'string') {
    return Buffer.from(input);
  }
  return ArrayBuffer.isView(input)
    ? new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
    : Buffer.from(input);
}
