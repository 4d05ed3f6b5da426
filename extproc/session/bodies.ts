/**
 * Request bodies of all sessions together, from their headers until they are let go: what they take, which of them must go when that is too much, and
 * which come too slowly. Nobody who sits on memory may keep others from being served.
 */

/** For all bodies, with what is noted of them. With the process's own 80 MB and all that is unsent it keeps memory below 400 MB. */
export const BODY_BYTES_OF_PROCESS = 128 * 1024 * 1024;

/** Larger bodies cannot take this part: small requests are nearly all requests, and pass whatever large ones do. */
export const RESERVED_FOR_SMALL_BYTES = 16 * 1024 * 1024;

/** A body of up to so much is small. A conversation of some pages is; coding agents send more. */
export const SMALL_BODY_BYTES = 64 * 1024;

/** A body that is being read, before its first byte: a session, a scanner with its tables, a stream. Measured: 12 KB. */
export const BASE_BYTES = 16 * 1024;

/** So much is made free at once, so that the list of bodies is not sorted for each piece that comes. */
const ROOM_BYTES = 8 * 1024 * 1024;

/** Ending a session takes some 50 us: so many at a time, and then the event loop runs. */
const ENDED_IN_A_TURN = 32;

const LOOK_MS = 1_000;

/** No upload is judged before: connections of phones pause so long. Counted in looks, so that a process that was stopped blames nobody. */
export const GRACE_LOOKS = 20;

/** An upload that brings nothing for so long is over. */
export const IDLE_LOOKS = 20;

/** The least that an upload brings on average, once it is judged: what Apache's mod_reqtimeout asks by default. A modem brings ten times as much. */
export const LEAST_BYTES_PER_LOOK = 500;

/** Why a body that is not whole yet was ended; an event of its session. */
export type BodyEnd = 'overloaded' | 'upload-late';

export interface BodyOwner {
  endBody(why: BodyEnd): void;
}

export class Body {
  readonly owner: BodyOwner;
  readonly beganMs: number;
  /** What it took before its first byte. */
  readonly baseBytes: number;
  bytes = 0;
  /** It has been told to end, and its bytes are no longer counted. */
  ended: BodyEnd | undefined;
  /** More of it is to come. */
  open = true;
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
  /** Of all bodies that have not been told to end. */
  bytes = 0;
  #largeBytes = 0;
  readonly #open = new Set<Body>();
  readonly #ending: Body[] = [];
  #looking = false;
  readonly #now: () => number;
  readonly #schedule: (delayMs: number, callback: () => void) => void;

  constructor({ now = Date.now, schedule = later }: BodiesOptions = {}) {
    this.#now = now;
    this.#schedule = schedule;
  }

  /** `bytes`: what the request has in memory already, beside the base. */
  begin(owner: BodyOwner, bytes: number): Body {
    const body = new Body(owner, this.#now(), BASE_BYTES + bytes);
    this.#open.add(body);
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

  /** Nothing more is to come. The answer is why it must end all the same. */
  whole(body: Body): BodyEnd | undefined {
    if (!body.open) {
      return body.ended;
    }
    body.open = false;
    this.#open.delete(body);
    this.add(body, -BASE_BYTES);
    return body.ended;
  }

  release(body: Body): void {
    if (body.open) {
      body.open = false;
      this.#open.delete(body);
    }
    this.add(body, -body.bytes);
  }

  /**
   * Ends those who have taken most for longest (bytes times their age) among the bodies that are not whole: who works on a request as it should has sent it
   * before its age weighs.
   */
  #makeRoom(large: boolean): void {
    const nowMs = this.#now();
    const weight = (body: Body) => body.bytes * (1 + Math.max(0, nowMs - body.beganMs));
    const candidates = [...this.#open].filter((body) => !large || body.large);
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
    for (const body of this.#open) {
      body.looks++;
      body.idleLooks = body.bytes === body.bytesSeen ? body.idleLooks + 1 : 0;
      body.bytesSeen = body.bytes;
      const late = body.bytes - body.baseBytes < LEAST_BYTES_PER_LOOK * body.looks;
      if ((late && body.looks > GRACE_LOOKS) || body.idleLooks >= IDLE_LOOKS) {
        this.#end(body, 'upload-late');
      }
    }
    if (this.#open.size > 0) {
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
