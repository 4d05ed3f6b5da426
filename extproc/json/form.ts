/**
 * Reads multipart forms (RFC 7578) as bytes, only for the fields that an adapter names. Refuses
 * what two parsers may read differently. Files are passed over: only their places are kept.
 */
import { type Failure, failure } from '../errors.ts';
import { ByteBuffer } from './byte-buffer.ts';
import { type FormFields, type FormPart, formBody } from './form-body.ts';
import { partHeaders } from './form-headers.ts';
import type { BodyScanner, ScannedBody } from './scanner.ts';

/** The largest real forms have some twenty parts. */
const MAX_PARTS = 128;
const MAX_HEADER_BYTES = 4 * 1024;
/** Of a part, beside the body's own bytes. */
const NOTED_BYTES = 200;

const HEADERS_END = Buffer.from('\r\n\r\n');
const CR = 0x0d;
const LF = 0x0a;
const DASH = 0x2d;

const BOUNDARY = /;\s*boundary\s*=\s*(?:"([^"]*)"|([^\s;"]+))/gi;
const BOUNDARY_CHARACTERS = /^[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]$/;

function invalidForm(what: string): Failure {
  return failure('invalid_body', `The form in the request body ${what}.`);
}

/** Returns a failure where the content type does not name one boundary. */
export function newFormScanner(fields: FormFields, contentType: string): BodyScanner | Failure {
  const boundaries = [...contentType.matchAll(BOUNDARY)];
  const boundary = boundaries[0]?.[1] ?? boundaries[0]?.[2] ?? '';
  if (!/^\s*multipart\/form-data\s*;/i.test(contentType) || boundaries.length !== 1) {
    return failure('invalid_body', 'The request body is no form: send multipart/form-data with one boundary.');
  }
  return BOUNDARY_CHARACTERS.test(boundary)
    ? new FormScanner(fields, boundary)
    : failure('invalid_body', 'The boundary in the content-type is not valid. Use up to 70 letters and digits.');
}

/** What the next bytes are. `end`: nothing but a line break may follow. */
type FormState = 'begin' | 'delimited' | 'headers' | 'content' | 'end';

class FormScanner implements BodyScanner {
  readonly #fields: FormFields;
  /** Without the line break before it. */
  readonly #delimiter: Buffer;
  readonly #kept = new ByteBuffer();
  readonly #parts: FormPart[] = [];
  #state: FormState = 'begin';
  #failed: Failure | undefined;
  /** Bytes that are not consumed yet, and where they begin in the body. */
  #rest: Buffer = Buffer.alloc(0);
  #at = 0;
  /** The part whose content comes. */
  #name = '';
  #isFile = false;
  #contentStart = 0;

  constructor(fields: FormFields, boundary: string) {
    this.#fields = fields;
    this.#delimiter = Buffer.from(`--${boundary}`);
  }

  get keptBytes(): number {
    return this.#kept.length + this.#parts.length * NOTED_BYTES;
  }

  push(bytes: Uint8Array): Failure | undefined {
    if (this.#failed !== undefined || bytes.length === 0) {
      return this.#failed;
    }
    this.#kept.add(bytes);
    this.#rest = this.#rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#rest, bytes]);
    let goesOn = true;
    while (goesOn && this.#failed === undefined) {
      goesOn = this.#step();
    }
    return this.#failed;
  }

  finish(): ScannedBody | Failure {
    if (this.#state !== 'end') {
      this.#failed ??= invalidForm('ends before its last boundary');
    }
    return this.#failed ?? formBody(this.#fields, this.#parts, this.#kept);
  }

  release(): void {
    this.#rest = Buffer.alloc(0);
    this.#kept.clear();
  }

  /** Returns false where more bytes are needed. */
  #step(): boolean {
    switch (this.#state) {
      case 'begin':
        return this.#begin();
      case 'delimited':
        return this.#delimited();
      case 'headers':
        return this.#headers();
      case 'content':
        return this.#content();
      case 'end':
        return this.#end();
      default:
        throw new Error(`unknown state ${this.#state satisfies never}`);
    }
  }

  #begin(): boolean {
    const { length } = this.#delimiter;
    if (this.#rest.length < length) {
      return false;
    }
    if (!this.#rest.subarray(0, length).equals(this.#delimiter)) {
      return this.#refuse('does not begin with its boundary');
    }
    this.#consume(length);
    this.#state = 'delimited';
    return true;
  }

  #delimited(): boolean {
    const [first, second] = this.#rest;
    if (second === undefined) {
      return false;
    }
    const ends = first === DASH && second === DASH;
    if (!ends && !(first === CR && second === LF)) {
      return this.#refuse('has a boundary that does not end its line');
    }
    if (!ends && this.#parts.length === MAX_PARTS) {
      return this.#refuse(`has more than ${MAX_PARTS} parts`);
    }
    this.#consume(2);
    this.#state = ends ? 'end' : 'headers';
    return true;
  }

  #headers(): boolean {
    const end = this.#rest.indexOf(HEADERS_END);
    if (end > MAX_HEADER_BYTES || (end < 0 && this.#rest.length > MAX_HEADER_BYTES)) {
      return this.#refuse('has a part with too long headers');
    }
    if (end < 0) {
      return false;
    }
    const headers = partHeaders(this.#rest.toString('utf8', 0, end));
    if (typeof headers === 'string') {
      return this.#refuse(headers);
    }
    this.#name = headers.name;
    this.#isFile = headers.isFile;
    this.#consume(end + HEADERS_END.length);
    this.#contentStart = this.#at;
    this.#state = 'content';
    return true;
  }

  #content(): boolean {
    const found = this.#rest.indexOf(this.#delimiter);
    if (found < 0) {
      // A line break and a part of the delimiter may be at the end.
      this.#consume(Math.max(0, this.#rest.length - this.#delimiter.length - 1));
      return false;
    }
    const isAfterLine = found >= 2 && this.#rest[found - 2] === CR && this.#rest[found - 1] === LF;
    if (!isAfterLine) {
      return this.#refuse('has its boundary within a line');
    }
    const end = this.#at + found - 2;
    this.#parts.push({ name: this.#name, isFile: this.#isFile, start: this.#contentStart, end });
    this.#consume(found + this.#delimiter.length);
    this.#state = 'delimited';
    return true;
  }

  #end(): boolean {
    const isLineBreak = '\r\n'.startsWith(this.#rest.toString('latin1'));
    return isLineBreak ? false : this.#refuse('goes on after its last boundary');
  }

  #consume(bytes: number): void {
    this.#rest = this.#rest.subarray(bytes);
    this.#at += bytes;
  }

  #refuse(what: string): false {
    this.#failed = invalidForm(what);
    return false;
  }
}
