/**
 * Reads Envoy's gRPC access log, with one entry for each exchange that was broken off. The ext_proc
 * stream alone does not show who broke it. Envoy writes the entry before it ends the ext_proc
 * stream, on the same connection.
 */

import { messageLength, PREFIX_BYTES } from './assembler.ts';
import { bytesTag, Cursor, MalformedMessage, varintTag } from './protobuf.ts';

/**
 * Envoy sends each entry in a message of its own. Paths and details from hostile clients are
 * bounded by Envoy's own header limit, 60 KB.
 */
const MAX_MESSAGE_BYTES = 256 * 1024;

export interface AccessLogEntry {
  readonly requestId: string;
  /** Formatted like `%RESPONSE_FLAGS%`. */
  readonly flags: string;
  /** `%RESPONSE_CODE_DETAILS%` */
  readonly details: string;
  /** `%UPSTREAM_TRANSPORT_FAILURE_REASON%` */
  readonly transportFailure: string;
}

/** One `StreamAccessLogs` call: reads DATA and reports entries. */
export class AccessLogStream {
  readonly #onEntry: (entry: AccessLogEntry) => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(told: (entry: AccessLogEntry) => void) {
    this.#onEntry = told;
  }

  /** Throws `MalformedMessage`. */
  receive(bytes: Buffer, start: number, end: number): void {
    let rest = Buffer.concat([this.#rest, bytes.subarray(start, end)]);
    while (rest.length >= PREFIX_BYTES) {
      const stop = PREFIX_BYTES + messageLength(rest, 0, MAX_MESSAGE_BYTES);
      if (rest.length < stop) {
        break;
      }
      readMessage(rest, PREFIX_BYTES, stop, this.#onEntry);
      rest = rest.subarray(stop);
    }
    this.#rest = rest;
  }
}

/** Names of `%RESPONSE_FLAGS%` by field number of `envoy.data.accesslog.v3.ResponseFlags`. */
const FLAGS: Readonly<Record<number, string>> = {
  2: 'UH',
  3: 'UT',
  4: 'LR',
  5: 'UR',
  6: 'UF',
  7: 'UC',
  8: 'UO',
  15: 'DC',
  16: 'URX',
  17: 'SI',
  19: 'DPE',
  20: 'UMSDR',
  23: 'DT',
  24: 'UPE',
  25: 'NC',
  26: 'OM',
  27: 'DF',
};

const cursor = new Cursor();

/**
 * Calls `each` for the fields of the message that ends at `end`, and skips fields that it does not
 * read.
 */
function fields(end: number, each: (tag: number) => boolean): void {
  while (cursor.at < end) {
    cursor.end = end;
    const tag = cursor.tag();
    if (!each(tag)) {
      cursor.skip(tag);
    }
  }
  if (cursor.at > end) {
    throw new MalformedMessage('value exceeds the message');
  }
}

function nested(each: (tag: number) => boolean): true {
  fields(cursor.range(), each);
  return true;
}

function readMessage(bytes: Buffer, start: number, end: number, told: (entry: AccessLogEntry) => void): void {
  cursor.reset(bytes, start, end);
  const readEntry = (tag: number) => {
    if (tag !== bytesTag(1)) {
      return false;
    }
    const entry = { requestId: '', flags: '', details: '', transportFailure: '' };
    const text = (): string => {
      const stop = cursor.range();
      const value = bytes.toString('latin1', cursor.at, stop);
      cursor.at = stop;
      return value;
    };
    const flags: string[] = [];
    const readFlag = (of: number) => {
      const name = FLAGS[of >>> 3];
      if (name === undefined || of !== varintTag(of >>> 3)) {
        return false;
      }
      if (cursor.bool()) {
        flags.push(name);
      }
      return true;
    };
    const readCommon = (of: number) => {
      if (of === bytesTag(16)) {
        return nested(readFlag);
      }
      if (of !== bytesTag(18)) {
        return false;
      }
      entry.transportFailure = text();
      return true;
    };
    const readRequest = (of: number) => {
      if (of !== bytesTag(9)) {
        return false;
      }
      entry.requestId = text();
      return true;
    };
    const readResponse = (of: number) => {
      if (of !== bytesTag(6)) {
        return false;
      }
      entry.details = text();
      return true;
    };
    nested((of) => {
      if (of === bytesTag(1)) {
        return nested(readCommon);
      }
      if (of === bytesTag(3)) {
        return nested(readRequest);
      }
      return of === bytesTag(4) && nested(readResponse);
    });
    told({ ...entry, flags: flags.join(',') });
    return true;
  };
  fields(end, (tag) => tag === bytesTag(2) && nested(readEntry));
}
