/**
 * The part of HPACK (RFC 7541) that a server needs to read `:path` and `traceparent` only. We
 * announce a dynamic table of size 0, but the peer may use the default table until it has seen
 * that. The table therefore keeps of each entry whether it is one of the two, its value, and its
 * size.
 */

import { decodeHuffman } from './huffman.ts';

/**
 * The block cannot be decoded, so no later block can be either: COMPRESSION_ERROR of the
 * connection.
 */
export class MalformedHeaders extends Error {
  override readonly name = 'MalformedHeaders';
}

/** The headers whose values are read. */
type ReadHeader = ':path' | 'traceparent';

interface HeaderTableEntry {
  /** Undefined for all headers that are not read. */
  readonly name: ReadHeader | undefined;
  /** The value of a header that is read. */
  readonly value: string | undefined;
  readonly nameLength: number;
  readonly size: number;
}

const DEFAULT_TABLE_BYTES = 4096;
const ENTRY_OVERHEAD_BYTES = 32;

/**
 * Lengths of the names in the static table (appendix A), from index 1. They count in the sizes of
 * dynamic entries that refer to them.
 */
const STATIC_NAME_LENGTHS = (
  ':authority :method :method :path :path :scheme :scheme :status :status :status :status :status :status :status accept-charset ' +
  'accept-encoding accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control ' +
  'content-disposition content-encoding content-language content-length content-location content-range content-type cookie date etag ' +
  'expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link location ' +
  'max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after server set-cookie strict-transport-security ' +
  'transfer-encoding user-agent vary via www-authenticate'
)
  .split(' ')
  .map((name) => name.length);
const STATIC_ENTRIES = STATIC_NAME_LENGTHS.length;
const STATIC_PATH = 4;
const STATIC_INDEX_HTML = 5;

const NO_BYTES = Buffer.alloc(0);

export class HeaderDecoder {
  /** Newest first. */
  #entries: HeaderTableEntry[] = [];
  #tableBytes = 0;
  #maxTableBytes = DEFAULT_TABLE_BYTES;
  #bytes: Buffer = NO_BYTES;
  #at = 0;
  #end = 0;
  #path: string | undefined;
  #traceParent: string | undefined;
  #lastBlock: Buffer | undefined;

  /** The value of `traceparent` in the block that was read last. */
  get traceParent(): string | undefined {
    return this.#traceParent;
  }

  /** Returns the value of `:path`. Every block must be read, in order. */
  readPath(bytes: Buffer, start: number, end: number): string | undefined {
    // Without a dynamic table equal blocks have equal meaning, and Envoy's calls differ only when
    // traced.
    const last = this.#lastBlock;
    if (last !== undefined && bytes.compare(last, 0, last.length, start, end) === 0) {
      return this.#path;
    }
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#path = undefined;
    this.#traceParent = undefined;
    while (this.#at < end) {
      this.#field();
    }
    this.#bytes = NO_BYTES;
    if (this.#maxTableBytes === 0) {
      this.#lastBlock = Buffer.from(bytes.subarray(start, end));
    }
    return this.#path;
  }

  #field(): void {
    const first = this.#bytes[this.#at]!;
    if (first >= 0x80) {
      const index = this.#integer(7);
      const { name, value } = this.#entry(index);
      this.#note(name, value);
    } else if (first >= 0x40) {
      this.#literal(6, true);
    } else if (first >= 0x20) {
      this.#resize(this.#integer(5));
    } else {
      this.#literal(4, false);
    }
  }

  #literal(prefixBits: number, remember: boolean): void {
    const index = this.#integer(prefixBits);
    let name: ReadHeader | undefined;
    let nameLength: number;
    if (index === 0) {
      const text = this.#string();
      name = text === ':path' || text === 'traceparent' ? text : undefined;
      nameLength = text.length;
    } else {
      ({ name, nameLength } = this.#entry(index));
    }
    if (name === undefined && (!remember || this.#maxTableBytes === 0)) {
      this.#skipString();
      return;
    }
    const text = this.#string();
    const value = name && text;
    this.#note(name, value);
    if (remember) {
      this.#insert({ name, value, nameLength, size: nameLength + text.length + ENTRY_OVERHEAD_BYTES });
    }
  }

  #note(name: ReadHeader | undefined, value: string | undefined): void {
    if (name === ':path') {
      this.#path = value;
    } else if (name === 'traceparent') {
      this.#traceParent = value;
    }
  }

  #entry(index: number): HeaderTableEntry {
    if (index === 0) {
      throw new MalformedHeaders('index 0');
    }
    if (index <= STATIC_ENTRIES) {
      const value = index === STATIC_PATH ? '/' : index === STATIC_INDEX_HTML ? '/index.html' : undefined;
      return { name: value && ':path', value, nameLength: STATIC_NAME_LENGTHS[index - 1]!, size: 0 };
    }
    const entry = this.#entries[index - STATIC_ENTRIES - 1];
    if (entry === undefined) {
      throw new MalformedHeaders('invalid table index');
    }
    return entry;
  }

  #insert(entry: HeaderTableEntry): void {
    this.#tableBytes += entry.size;
    this.#entries.unshift(entry);
    this.#evict();
  }

  #resize(bytes: number): void {
    if (bytes > DEFAULT_TABLE_BYTES) {
      throw new MalformedHeaders('table too large');
    }
    this.#maxTableBytes = bytes;
    this.#lastBlock = undefined;
    this.#evict();
  }

  #evict(): void {
    while (this.#tableBytes > this.#maxTableBytes) {
      this.#tableBytes -= this.#entries.pop()!.size;
    }
  }

  #integer(prefixBits: number): number {
    const limit = (1 << prefixBits) - 1;
    let value = this.#next() & limit;
    if (value < limit) {
      return value;
    }
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#next();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) {
        return value;
      }
    }
    throw new MalformedHeaders('number too large');
  }

  #string(): string {
    const huffman = this.#at < this.#end && this.#bytes[this.#at]! >= 0x80;
    const start = this.#skipString();
    if (!huffman) {
      return this.#bytes.toString('latin1', start, this.#at);
    }
    const text = decodeHuffman(this.#bytes, start, this.#at);
    if (text === undefined) {
      throw new MalformedHeaders('invalid Huffman code');
    }
    return text;
  }

  /** Returns where the string's bytes begin; they end at the reader's new position. */
  #skipString(): number {
    const length = this.#integer(7);
    const start = this.#at;
    if (length > this.#end - start) {
      throw new MalformedHeaders('string exceeds the block');
    }
    this.#at = start + length;
    return start;
  }

  #next(): number {
    if (this.#at >= this.#end) {
      throw new MalformedHeaders('truncated header block');
    }
    return this.#bytes[this.#at++]!;
  }
}
