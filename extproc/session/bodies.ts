/**
 * The memory of all request bodies, from their headers to their release. Ends the heaviest ones
 * when memory is short, and uploads that are too slow, so that no client can keep others from being
 * served.
 */

/**
 * For all bodies with their bookkeeping. With 80 MB of the process and unsent data, memory stays
 * below 400 MB.
 */
export const BODY_BYTES_OF_PROCESS = 128 * 1024 * 1024;

/** Reserved for small bodies, which are nearly all, so that they pass whatever large ones do. */
export const RESERVED_FOR_SMALL_BYTES = 16 * 1024 * 1024;

/** The bound of a small body. A conversation of some pages is small; coding agents send more. */
export const SMALL_BODY_BYTES = 64 * 1024;

/**
 * A request before the first byte of its body: session, scanner with tables, stream. Measured: 12
 * KB.
 */
export const BASE_BYTES = 16 * 1024;

/** Freed at once, so that bodies are not sorted for each piece that arrives. */
const ROOM_BYTES = 8 * 1024 * 1024;

/** Ending a session takes about 50 us; after this many the event loop runs. */
const ENDED_IN_A_TURN = 32;

const LOOK_MS = 1_000;

/**
 * Uploads may pause this long at first, as phones do. In looks, so that a suspended process ends
 * none.
 */
export const GRACE_LOOKS = 20;

/** An upload that stalls this long is ended. */
export const IDLE_LOOKS = 20;

/**
 * The least average rate after the grace time: the default of Apache's mod_reqtimeout. A modem is
 * ten times as fast.
 */
export const LEAST_BYTES_PER_LOOK = 500;

/** Why an incomplete body was ended; an event of its session. */
export type BodyEnd = 'overloaded' | 'upload-late';

export interface BodyOwner {
  endBody(why: BodyEnd): void;
}

export class Body {
  readonly owner: BodyOwner;
  readonly beganMs: number;
  /** Memory before the first byte. */
  readonly baseBytes: number;
  bytes = 0;
  /** Set when the body is ended; its bytes are no longer counted. */
  ended: BodyEnd | undefined;
  /** Where the bodies of which more bytes may arrive list this one; -1: no more may arrive. */
  index = -1;
  looks = 0;
  idleLooks = 0;
  bytesSeen: number;

  constructor(owner: BodyOwner, beganMs: number, baseBytes: number) {
    this.owner = owner;
    this.beganMs = beganMs;
    this.baseBytes = baseBytes;
    this.bytesSeen = baseBytes;
  }

  get large(): boolean {
    return this.bytes > SMALL_BODY_BYTES + this.baseBytes;
  }
}

export interface BodiesOptions {
  /** Milliseconds. */
  readonly now?: () => number;
  /** Calls back once, later. */
  readonly schedule?: (delayMs: number, callback: () => void) => void;
}

export class Bodies {
  /** Memory of all bodies that are not ended. */
  bytes = 0;
  #largeBytes = 0;
  /** The bodies of which more bytes may arrive. Not a `Set`, for the reason in `IntegerTable`. */
  readonly #open: Body[] = [];
  readonly #ending: Body[] = [];
  #looking = false;
  readonly #now: () => number;
  readonly #schedule: (delayMs: number, callback: () => void) => void;

  constructor({ now = Date.now, schedule = later }: BodiesOptions = {}) {
    this.#now = now;
    this.#schedule = schedule;
  }

  /** Starts counting a body. `bytes` is the memory of its headers. */
  begin(owner: BodyOwner, bytes: number): Body {
    const body = new Body(owner, this.#now(), BASE_BYTES + bytes);
    body.index = this.#open.push(body) - 1;
    this.#lookLater();
    this.add(body, body.baseBytes);
    return body;
  }

  add(body: Body, bytes: number): void {
    if (body.ended !== undefined) {
      return;
    }
    const wasLarge = body.large ? body.bytes : 0;
    body.bytes += bytes;
    this.bytes += bytes;
    this.#largeBytes += (body.large ? body.bytes : 0) - wasLarge;
    if (bytes <= 0) {
      return;
    }
    if (this.#largeBytes > BODY_BYTES_OF_PROCESS - RESERVED_FOR_SMALL_BYTES) {
      this.#makeRoom(true);
    }
    if (this.bytes > BODY_BYTES_OF_PROCESS) {
      this.#makeRoom(false);
    }
  }

  /** Marks a body as complete. Returns the reason where it was ended before that. */
  whole(body: Body): BodyEnd | undefined {
    if (body.index >= 0) {
      this.#close(body);
      this.add(body, -BASE_BYTES);
    }
    return body.ended;
  }

  release(body: Body): void {
    if (body.index >= 0) {
      this.#close(body);
    }
    this.add(body, -body.bytes);
  }

  #close(body: Body): void {
    const last = this.#open.pop()!;
    if (last !== body) {
      this.#open[body.index] = last;
      last.index = body.index;
    }
    body.index = -1;
  }

  /**
   * Ends the incomplete bodies with the highest product of bytes and age. Normal uploads complete
   * before their age counts.
   */
  #makeRoom(large: boolean): void {
    const nowMs = this.#now();
    const weight = (body: Body) => body.bytes * (1 + Math.max(0, nowMs - body.beganMs));
    const candidates = this.#open.filter((body) => !large || body.large);
    const heaviest = candidates
      .map((body) => ({ body, weight: weight(body) }))
      .sort((one, other) => other.weight - one.weight);
    let free = 0;
    for (const { body } of heaviest) {
      if (free >= ROOM_BYTES) {
        break;
      }
      free += body.bytes;
      this.#end(body, 'overloaded');
    }
  }

  #end(body: Body, why: BodyEnd): void {
    this.release(body);
    body.ended = why;
    if (this.#ending.push(body) === 1) {
      this.#schedule(0, this.#endSome);
    }
  }

  readonly #endSome = (): void => {
    for (const { owner, ended } of this.#ending.splice(0, ENDED_IN_A_TURN)) {
      owner.endBody(ended!);
    }
    if (this.#ending.length > 0) {
      this.#schedule(0, this.#endSome);
    }
  };

  #lookLater(): void {
    if (this.#looking) {
      return;
    }
    this.#looking = true;
    this.#schedule(LOOK_MS, this.#look);
  }

  readonly #look = (): void => {
    this.#looking = false;
    for (const body of [...this.#open]) {
      body.looks++;
      body.idleLooks = body.bytes === body.bytesSeen ? body.idleLooks + 1 : 0;
      body.bytesSeen = body.bytes;
      const late = body.bytes - body.baseBytes < LEAST_BYTES_PER_LOOK * body.looks;
      if ((late && body.looks > GRACE_LOOKS) || body.idleLooks >= IDLE_LOOKS) {
        this.#end(body, 'upload-late');
      }
    }
    if (this.#open.length > 0) {
      this.#lookLater();
    }
  };
}

function later(delayMs: number, callback: () => void): void {
  if (delayMs === 0) {
    setImmediate(callback);
  } else {
    setTimeout(callback, delayMs).unref();
  }
}
