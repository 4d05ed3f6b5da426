/**
 * Sends events to webhooks, signed as Standard Webhooks
 * (https://github.com/standard-webhooks/standard-webhooks) describes. Repeats what a receiver does
 * not accept, at growing intervals, until it is too old. One event at a time to each receiver, so
 * that a slow one delays only itself.
 */
import { Webhook as SigningKey } from 'standardwebhooks';
import { errorMessage } from '../runtime/error-message.ts';
import { type DestinationGuard, guardedRequest, urlOf } from '../runtime/guarded-request.ts';
import type { Log } from '../runtime/log.ts';
import type { BudgetEvent } from './budget-event.ts';

/** A receiver of the alerts of one quota policy. */
export interface Receiver {
  /** `NAMESPACE/NAME`. */
  readonly policy: string;
  readonly url: string;
  readonly secret: { reveal(): string };
}

/** An event that a receiver has not accepted yet. */
export interface PendingEvent {
  readonly policy: string;
  readonly url: string;
  readonly event: BudgetEvent;
  readonly sinceMs: number;
}

/** For metrics. */
export interface DeliveryCounts {
  readonly sent: number;
  /** Events that were given up. */
  readonly dropped: number;
  readonly pending: number;
  /** Receivers whose last attempt failed. */
  readonly failing: number;
}

export interface WebhookSenderOptions {
  readonly guard: DestinationGuard;
  /** Called when `pending()` has changed. */
  readonly changed: () => void;
  readonly log: Log;
  readonly intervals?: Partial<DeliveryIntervals>;
  readonly now?: () => number;
}

export interface DeliveryIntervals {
  /** Until the first repetition; doubles up to the maximum. */
  readonly minRetryMs: number;
  readonly maxRetryMs: number;
  /** After which an event is given up. */
  readonly maxAgeMs: number;
  readonly timeoutMs: number;
}

export const deliveryIntervals: DeliveryIntervals = {
  minRetryMs: 1_000,
  maxRetryMs: 10 * 60_000,
  maxAgeMs: 24 * 3_600_000,
  timeoutMs: 10_000,
};

/** About 400 KB. Beyond it, the oldest events are given up. */
const MAX_PENDING = 500;
const MAX_REQUESTS = 8;

interface Delivery extends PendingEvent {
  attempts: number;
  dueMs: number;
}

export class WebhookSender {
  readonly #options: WebhookSenderOptions;
  readonly #intervals: DeliveryIntervals;
  readonly #now: () => number;
  readonly #stop = new AbortController();
  #receivers: ReadonlyMap<string, Receiver> = new Map();
  #deliveries: Delivery[] = [];
  /** Receivers with a request in flight. */
  readonly #busy = new Set<string>();
  readonly #failing = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #sent = 0;
  #dropped = 0;

  constructor(options: WebhookSenderOptions) {
    this.#options = options;
    this.#intervals = { ...deliveryIntervals, ...options.intervals };
    this.#now = options.now ?? Date.now;
  }

  /** Replaces the receivers. Events for others are given up. */
  want(receivers: readonly Receiver[]): void {
    this.#receivers = new Map(receivers.map((receiver) => [receiverId(receiver), receiver]));
    this.#deliveries = this.#deliveries.filter((delivery) => this.#receivers.has(receiverId(delivery)));
    for (const id of this.#failing) {
      if (!this.#receivers.has(id)) {
        this.#failing.delete(id);
      }
    }
    this.#next();
  }

  /** Sends an event to all receivers of a policy. */
  send(policy: string, event: BudgetEvent): void {
    const sinceMs = this.#now();
    for (const { policy: of, url } of this.#receivers.values()) {
      if (of === policy) {
        this.#add({ policy, url, event, sinceMs });
      }
    }
    this.#next();
  }

  /** Takes over what an earlier process could not send. Call after `want`. */
  restore(pending: readonly PendingEvent[]): void {
    for (const each of pending) {
      const isKnown = this.#deliveries.some(({ url, event }) => url === each.url && event.id === each.event.id);
      if (!isKnown && this.#receivers.has(receiverId(each))) {
        this.#add(each);
      }
    }
    this.#next();
  }

  pending(): readonly PendingEvent[] {
    return this.#deliveries.map(({ policy, url, event, sinceMs }) => ({ policy, url, event, sinceMs }));
  }

  counts(): DeliveryCounts {
    return {
      sent: this.#sent,
      dropped: this.#dropped,
      pending: this.#deliveries.length,
      failing: this.#failing.size,
    };
  }

  close(): void {
    this.#stop.abort();
    clearTimeout(this.#timer);
  }

  #add(pending: PendingEvent): void {
    this.#deliveries.push({ ...pending, attempts: 0, dueMs: this.#now() });
    if (this.#deliveries.length > MAX_PENDING) {
      this.#giveUp(this.#deliveries[0]!, `more than ${MAX_PENDING} events wait`);
    }
  }

  /** Starts the attempts that are due, and waits for the next one. */
  #next(): void {
    clearTimeout(this.#timer);
    if (this.#stop.signal.aborted) {
      return;
    }
    const nowMs = this.#now();
    let dueMs = Number.POSITIVE_INFINITY;
    for (const delivery of this.#deliveries.toSorted((one, other) => one.dueMs - other.dueMs)) {
      const id = receiverId(delivery);
      if (this.#busy.has(id) || this.#busy.size >= MAX_REQUESTS) {
        continue;
      }
      if (delivery.dueMs > nowMs) {
        dueMs = delivery.dueMs;
        break;
      }
      this.#busy.add(id);
      void this.#attempt(delivery, this.#receivers.get(id)).finally(() => {
        this.#busy.delete(id);
        this.#next();
      });
    }
    if (Number.isFinite(dueMs)) {
      this.#timer = setTimeout(() => this.#next(), dueMs - nowMs).unref();
    }
  }

  async #attempt(delivery: Delivery, receiver: Receiver | undefined): Promise<void> {
    if (receiver === undefined) {
      this.#remove(delivery);
      return;
    }
    try {
      await this.#post(delivery, receiver);
      this.#sent++;
      this.#remove(delivery);
      if (this.#failing.delete(receiverId(receiver))) {
        this.#options.log.info(receiverKeys(receiver), 'webhook accepts alerts again');
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) {
        this.#failed(delivery, receiver, errorMessage(error));
      }
    }
  }

  async #post({ event }: Delivery, { url, secret }: Receiver): Promise<void> {
    const body = JSON.stringify(event);
    // Not the time of the alert: receivers refuse old signatures.
    const sentAt = new Date(this.#now());
    const headers = {
      'content-type': 'application/cloudevents+json; charset=utf-8',
      'content-length': Buffer.byteLength(body),
      'webhook-id': event.id,
      'webhook-timestamp': String(Math.floor(sentAt.getTime() / 1000)),
      'webhook-signature': new SigningKey(secret.reveal()).sign(event.id, sentAt, body),
    };
    const deadline = AbortSignal.timeout(this.#intervals.timeoutMs);
    const signal = AbortSignal.any([this.#stop.signal, deadline]);
    const answer = await guardedRequest(
      urlOf(url),
      { method: 'POST', headers, body },
      this.#options.guard,
      signal,
    ).catch((error: unknown) => {
      throw deadline.aborted ? new Error(`no answer within ${this.#intervals.timeoutMs} ms`) : error;
    });
    const { statusCode = 0 } = answer;
    // The body says nothing that is needed.
    answer.on('error', () => {}).destroy();
    if (statusCode < 200 || statusCode > 299) {
      throw new Error(`the receiver answers with status ${statusCode}`);
    }
  }

  #failed(delivery: Delivery, receiver: Receiver, failure: string): void {
    const { minRetryMs, maxRetryMs, maxAgeMs } = this.#intervals;
    const id = receiverId(receiver);
    if (!this.#failing.has(id)) {
      this.#failing.add(id);
      this.#options.log.warn({ ...receiverKeys(receiver), failure }, 'alert not sent; retrying');
    }
    const delayMs = Math.min(maxRetryMs, minRetryMs * 2 ** delivery.attempts) * (0.5 + Math.random() / 2);
    delivery.attempts++;
    delivery.dueMs = this.#now() + delayMs;
    if (delivery.dueMs - delivery.sinceMs > maxAgeMs) {
      this.#giveUp(delivery, failure);
    }
  }

  #giveUp(delivery: Delivery, failure: string): void {
    this.#dropped++;
    const { event, attempts } = delivery;
    this.#options.log.error({ ...receiverKeys(delivery), event: event.id, attempts, failure }, 'alert given up');
    this.#remove(delivery);
  }

  #remove(delivery: Delivery): void {
    this.#deliveries = this.#deliveries.filter((each) => each !== delivery);
    this.#options.changed();
  }
}

type ReceiverName = Pick<Receiver, 'policy' | 'url'>;

function receiverId({ policy, url }: ReceiverName): string {
  return `${policy} ${url}`;
}

/** Returns the keys of log lines. The path and query of a URL may contain a secret. */
function receiverKeys({ policy, url }: ReceiverName): { readonly policy: string; readonly receiver: string } {
  return { policy, receiver: new URL(url).origin };
}
