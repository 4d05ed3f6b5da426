/**
 * Splits a stream of server-sent events into whole events, without reading their contents
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html).
 */

/**
 * Longer than any text event, short enough that many streams can hold one, and read in a
 * millisecond or two (a megabyte took 10 to 50). Longer events are returned in parts as they
 * arrive.
 */
const MAX_EVENT_BYTES = 128 * 1024;

/** Longer than an image in base64. Longer data is no event. */
const MAX_LONG_EVENT_BYTES = 64 * 1024 * 1024;

const SMALLEST_HELD_BYTES = 512;

/**
 * A held event above the first bound gets the size of the last event at once, up to the second
 * bound: streams of long events would double the buffer again and again.
 */
const LONG_HELD_BYTES = 4 * 1024;
const MOST_EXPECTED_BYTES = 64 * 1024;
const LF = 0x0a;
const CR = 0x0d;
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/**
 * Call `push` with a piece, then `next` until it returns false. `bytes`, `start` and `end` give the
 * range of an event, with its final blank line, until the next call of `next`. An event inside one
 * piece is a view of the piece; an event that spans pieces is joined in a buffer of its own. A byte
 * order mark at the start of the stream is returned as an event of its own, so that readers need
 * not handle it. Pieces are not retained: a piece is used up when `next` returns false.
 */
export interface EventSplitter {
  push(bytes: Uint8Array): void;
  next(): boolean;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  /**
   * Set if the range is a part of an event that is too long to be kept: a part that others follow,
   * or the last one.
   */
  readonly part: 'none' | 'begun' | 'last';
  /**
   * Ends the input. An event that ends in a bare CR waits for an LF that may belong to it; `next`
   * now returns the event.
   */
  close(): void;
  /**
   * Copies unread input between two events, because the piece that contains it is about to change.
   */
  detach(): void;
  /** Returns the incomplete or unread input in a buffer of its own, once. */
  rest(): Uint8Array;
  /**
   * An event does not end: there are no more events, and `rest` returns everything that is left.
   */
  readonly overflowed: boolean;
}

export function newEventSplitter(
  maxEventBytes: number = MAX_EVENT_BYTES,
  maxLongEventBytes: number = MAX_LONG_EVENT_BYTES,
): EventSplitter {
  return new SseSplitter(maxEventBytes, maxLongEventBytes);
}

const NOTHING = new Uint8Array(0);

class SseSplitter implements EventSplitter {
  bytes: Uint8Array = NOTHING;
  start = 0;
  end = 0;
  overflowed = false;
  part: EventSplitter['part'] = 'none';
  /** Bytes of the current long event that were already returned. */
  #partBytes = 0;
  readonly #maxBytes: number;
  readonly #maxLongBytes: number;
  #closed = false;
  #piece: Uint8Array = NOTHING;
  /** The offset up to which the piece was searched. */
  #at = 0;
  /** Start of the current event in the piece. Earlier bytes of the event are in `#held`. */
  #from = 0;
  #held: Uint8Array = NOTHING;
  #heldLength = 0;
  /** A little more than the size of the last event that spanned pieces. */
  #expectedBytes = 0;
  // The next CR and LF in the piece, or its length; each is searched only once.
  #nextLf = -1;
  #nextCr = -1;
  /** The current line is not empty. */
  #inLine = false;
  /** The event has a line that is not empty, so the next empty line ends it. */
  #hasLine = false;
  /** The last byte was a CR: an LF after it belongs to it. */
  #afterCr = false;
  /** The last CR ended the event. */
  #endsAtCr = false;
  /** Bytes of a byte order mark so far; -1 past the start of the stream. */
  #mark = 0;

  constructor(maxBytes: number, maxLongBytes: number) {
    this.#maxBytes = maxBytes;
    this.#maxLongBytes = maxLongBytes;
  }

  push(bytes: Uint8Array): void {
    let piece = bytes;
    if (this.#from < this.#at) {
      this.#hold(this.#from, this.#at);
    }
    if (this.#at < this.#piece.length) {
      piece = Buffer.concat([this.#piece.subarray(this.#at), bytes]);
    }
    this.#take(piece);
  }

  next(): boolean {
    if (this.overflowed) {
      return false;
    }
    if (this.#mark !== -1 && this.#markEnds()) {
      return this.#give();
    }
    const piece = this.#piece;
    while (this.#at < piece.length) {
      if (this.#afterCr) {
        this.#afterCr = false;
        if (piece[this.#at] === LF) {
          this.#at++;
        }
        if (this.#endsAtCr) {
          return this.#give();
        }
        continue;
      }
      const lineEnd = this.#lineEnd();
      if (lineEnd > this.#at) {
        this.#inLine = true;
      }
      this.#at = lineEnd;
      if (lineEnd === piece.length) {
        break;
      }
      this.#at++;
      const endsEvent = !this.#inLine && this.#hasLine;
      this.#hasLine ||= this.#inLine;
      this.#inLine = false;
      if (piece[lineEnd] === CR) {
        this.#afterCr = true;
        this.#endsAtCr = endsEvent;
      } else if (endsEvent) {
        return this.#give();
      }
    }
    if (this.#closed && this.#afterCr && this.#endsAtCr) {
      return this.#give();
    }
    if (this.#at > this.#from && this.#heldLength + this.#at - this.#from + this.#partBytes > this.#maxBytes) {
      return this.#givePart();
    }
    // Releases the piece: its buffer may be much larger than an idle stream should hold.
    this.#hold(this.#from, this.#at);
    this.#take(NOTHING);
    this.bytes = NOTHING;
    return false;
  }

  close(): void {
    this.#closed = true;
  }

  detach(): void {
    this.#take(Buffer.from(this.#piece.subarray(this.#at)));
  }

  rest(): Uint8Array {
    this.#hold(this.#from, this.#piece.length);
    const rest = this.#held.subarray(0, this.#heldLength);
    this.#letGo();
    this.#take(NOTHING);
    return rest;
  }

  #take(piece: Uint8Array): void {
    this.#piece = piece;
    this.#at = 0;
    this.#from = 0;
    this.#nextLf = -1;
    this.#nextCr = -1;
  }

  /** The event ends here. */
  #give(): boolean {
    this.part = this.#partBytes > 0 ? 'last' : 'none';
    this.#partBytes = 0;
    this.#inLine = false;
    this.#hasLine = false;
    this.#afterCr = false;
    this.#endsAtCr = false;
    this.#giveBytes();
    return true;
  }

  /** Returns the available bytes of an event that has grown too long. */
  #givePart(): boolean {
    const length = this.#heldLength + this.#at - this.#from;
    if (this.#partBytes + length > this.#maxLongBytes) {
      this.overflowed = true;
      return false;
    }
    this.part = 'begun';
    this.#partBytes += length;
    this.#giveBytes();
    return true;
  }

  #giveBytes(): void {
    if (this.#heldLength === 0) {
      this.bytes = this.#piece;
      this.start = this.#from;
      this.end = this.#at;
    } else {
      this.#hold(this.#from, this.#at);
      this.bytes = this.#held;
      this.start = 0;
      this.end = this.#heldLength;
      this.#letGo();
    }
    this.#from = this.#at;
  }

  #lineEnd(): number {
    const piece = this.#piece;
    const at = this.#at;
    // The blank line after each event needs no search.
    if (this.#nextLf < at) {
      this.#nextLf = piece[at] === LF ? at : found(piece.indexOf(LF, at), piece.length);
    }
    if (this.#nextCr < at) {
      this.#nextCr = found(piece.indexOf(CR, at), piece.length);
    }
    return Math.min(this.#nextLf, this.#nextCr);
  }

  #markEnds(): boolean {
    const piece = this.#piece;
    while (this.#at < piece.length) {
      if (piece[this.#at] !== BYTE_ORDER_MARK[this.#mark]) {
        this.#inLine = this.#mark > 0;
        this.#mark = -1;
        return false;
      }
      this.#at++;
      if (++this.#mark === BYTE_ORDER_MARK.length) {
        this.#mark = -1;
        return true;
      }
    }
    return false;
  }

  #hold(from: number, to: number): void {
    if (from === to) {
      return;
    }
    const needed = this.#heldLength + to - from;
    if (needed > this.#held.length) {
      const expected = needed > LONG_HELD_BYTES ? this.#expectedBytes : SMALLEST_HELD_BYTES;
      const larger = new Uint8Array(Math.max(expected, needed, this.#held.length * 2));
      larger.set(this.#held.subarray(0, this.#heldLength));
      this.#held = larger;
    }
    this.#held.set(this.#piece.subarray(from, to), this.#heldLength);
    this.#heldLength = needed;
  }

  /** The buffer now belongs to the caller. */
  #letGo(): void {
    this.#expectedBytes = Math.min(MOST_EXPECTED_BYTES, this.#heldLength + (this.#heldLength >> 3));
    this.#held = NOTHING;
    this.#heldLength = 0;
  }
}

function found(index: number, length: number): number {
  return index === -1 ? length : index;
}
