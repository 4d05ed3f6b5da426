/**
 * The part of HPACK (RFC 7541) that a server needs to read `:path` only. We announce a dynamic
 * table of size 0, but the peer may use the default table until it has seen that. The table
 * therefore keeps of each entry whether it is a `:path`, its value, and its size.
 */

import { decodeHuffman } from './huffman.ts';

/**
 * The block cannot be decoded, so no later block can be either: COMPRESSION_ERROR of the
 * connection.
 */
export class MalformedHeaders extends Error {
  override readonly name = 'MalformedHeaders';
}

interface HeaderTableEntry {
  /** The value, if the name is `:path`. */
  readonly path: string | undefined;
  readonly isPath: boolean;
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
  #lastBlock: Buffer | undefined;
  #lastPath: string | undefined;

  /** Returns the value of `:path`. Every block must be read, in order. */
  readPath(bytes: Buffer, start: number, end: number): string | undefined {
    // Without a dynamic table equal blocks have equal meaning, and Envoy's calls differ only when
    // traced.
    const last = this.#lastBlock;
    if (last !== undefined && bytes.compare(last, 0, last.length, start, end) === 0) {
      return this.#lastPath;
    }
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#path = undefined;
    while (this.#at < end) {
      this.#field();
    }
    this.#bytes = NO_BYTES;
    if (this.#maxTableBytes === 0) {
      this.#lastBlock = Buffer.from(bytes.subarray(start, end));
      this.#lastPath = this.#path;
    }
    return this.#path;
  }

  #field(): void {
    const first = this.#bytes[this.#at]!;
    if (first >= 0x80) {
      const index = this.#integer(7);
      const entry = this.#entry(index);
      if (entry.isPath) {
        this.#path = entry.path;
      }
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
    let isPath: boolean;
    let nameLength: number;
    if (index === 0) {
      const name = this.#string();
      isPath = name === ':path';
      nameLength = name.length;
    } else {
      const entry = this.#entry(index);
      isPath = entry.isPath;
      nameLength = entry.nameLength;
    }
    if (!isPath && (!remember || this.#maxTableBytes === 0)) {
      this.#skipString();
      return;
    }
    const value = this.#string();
    const path = isPath ? value : undefined;
    if (isPath) {
      this.#path = value;
    }
    if (remember) {
      this.#insert({ path, isPath, nameLength, size: nameLength + value.length + ENTRY_OVERHEAD_BYTES });
    }
  }

  #entry(index: number): HeaderTableEntry {
    if (index === 0) {
      throw new MalformedHeaders('index 0');
    }
    if (index <= STATIC_ENTRIES) {
      const isPath = index === STATIC_PATH || index === STATIC_INDEX_HTML;
      const path = index === STATIC_PATH ? '/' : index === STATIC_INDEX_HTML ? '/index.html' : undefined;
      return { path, isPath, nameLength: STATIC_NAME_LENGTHS[index - 1]!, size: 0 };
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
