/** The credentials of one request. Each is read once, when a policy asks for it. */
import { hash } from 'node:crypto';
import type { HeaderList } from '../exchange.ts';
import { cookieValue, type HeaderCredential, headerCredential, isForgeable } from './credentials.ts';
import type { CompiledJwt } from './jwt.ts';
import type { TokenVerdict } from './token-verifier.ts';

/** A credential with its SHA-256, in hexadecimal digits. */
export interface PresentedSecret {
  readonly value: string;
  readonly digest: string;
}

export class Presented {
  /** Attributes of the connection, which Envoy sets. */
  readonly attributes: ReadonlyMap<string, string>;
  readonly #headers: HeaderList;
  #credential: HeaderCredential | undefined;
  #secret: PresentedSecret | undefined;
  /** Verdicts that had to be awaited. */
  #verdicts: Map<CompiledJwt, TokenVerdict> | undefined;

  constructor(headers: HeaderList, attributes: ReadonlyMap<string, string>) {
    this.#headers = headers;
    this.attributes = attributes;
  }

  get credential(): HeaderCredential {
    this.#credential ??= headerCredential(this.#headers);
    return this.#credential;
  }

  get secret(): PresentedSecret | undefined {
    const { credential } = this;
    if (this.#secret === undefined && credential.type === 'secret') {
      this.#secret = secretOf(credential.value);
    }
    return this.#secret;
  }

  cookie(name: string): PresentedSecret | undefined {
    const value = cookieValue(this.#headers, name);
    return value === undefined ? undefined : secretOf(value);
  }

  /** Whether a page of another origin may have made the browser send the cookies. */
  get cookiesAreForgeable(): boolean {
    return isForgeable(this.#headers);
  }

  verdict(jwt: CompiledJwt): TokenVerdict | undefined {
    return this.#verdicts?.get(jwt);
  }

  keepVerdict(jwt: CompiledJwt, verdict: TokenVerdict): void {
    this.#verdicts ??= new Map();
    this.#verdicts.set(jwt, verdict);
  }
}

/** Values of headers are decoded as latin1, and this restores the bytes. */
function secretOf(value: string): PresentedSecret {
  return { value, digest: hash('sha256', Buffer.from(value, 'latin1'), 'hex') };
}
