/**
 * Holds events of a stream back as long as a stage asks for it. The client's side of the stream
 * learns of an event when it is released, so that an early end still fits what was sent.
 */
import type { Failure } from '../../errors.ts';
import type { EventFacts } from '../../providers/adapter.ts';
import type { ClientStream, EventPart, EventSink } from './client-stream.ts';
import type { ResponseStage } from './stage.ts';

interface HeldEvent {
  readonly bytes: Uint8Array;
  readonly part: EventPart;
  readonly facts: EventFacts;
}

export class HoldBack implements EventSink {
  /** Why the stream must end. No event passes from then on. */
  failure: Failure | undefined;
  readonly #stage: ResponseStage;
  readonly #client: ClientStream;
  /** Copies of the events that wait, oldest first. */
  readonly #held: HeldEvent[] = [];
  #heldBytes = 0;

  constructor(stage: ResponseStage, client: ClientStream) {
    this.#stage = stage;
    this.#client = client;
  }

  event(bytes: Uint8Array, start: number, end: number, part: EventPart, facts: EventFacts): void {
    if (this.failure !== undefined) {
      return;
    }
    const waiting = this.#stage.event();
    if (typeof waiting !== 'number') {
      this.failure = waiting;
    } else if (waiting > 0) {
      this.#held.push({ bytes: Buffer.from(bytes.subarray(start, end)), part, facts: facts.kept() });
      this.#heldBytes += end - start;
      this.#releaseTo(waiting);
      this.#bound();
    } else {
      this.#releaseTo(0);
      this.#client.event(bytes, start, end, part, facts);
    }
  }

  flush(): void {
    this.#client.flush();
  }

  /** Releases what waits, because nothing follows. Returns why it must not go. */
  end(): Failure | undefined {
    this.failure ??= this.#stage.end();
    if (this.failure === undefined) {
      this.#releaseTo(0);
      this.#client.flush();
    }
    return this.failure;
  }

  /** Releases the oldest events until this many wait. */
  #releaseTo(waiting: number): void {
    while (this.#held.length > waiting) {
      const { bytes, part, facts } = this.#held.shift()!;
      this.#heldBytes -= bytes.length;
      this.#client.event(bytes, 0, bytes.length, part, facts);
    }
  }

  #bound(): void {
    const { limits, withoutVerdict } = this.#stage;
    while (this.#held.length > limits.heldEvents || this.#heldBytes > limits.heldBytes) {
      if (withoutVerdict !== 'release') {
        this.failure = withoutVerdict;
        return;
      }
      this.#releaseTo(this.#held.length - 1);
    }
  }
}
