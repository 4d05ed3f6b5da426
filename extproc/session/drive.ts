/**
 * Carries out the actions of a session on one exchange: the only place where a session meets
 * sockets, timers, the quota store and telemetry.
 */
import { CODE_DETAILS_ATTRIBUTE, PATH_ATTRIBUTE, ROUTE_NAME_ATTRIBUTE } from '../../contract/headers.ts';
import { type Inflater, newInflater } from '../compression/inflate.ts';
import { type Exchange, type ExchangeHandler, type HeaderList, headerBytes } from '../exchange.ts';
import type { CompiledPolicy } from '../policy/compile.ts';
import type { Cancel, Demand, Overdraft } from '../quota/store.ts';
import type { RequestRecord } from '../record.ts';
import { newBodyCount } from '../tokens/count.ts';
import { Account } from './account.ts';
import { AttemptExchanges } from './attempt-exchanges.ts';
import type { Body, BodyEnd, BodyOwner } from './bodies.ts';
import { answerEnvoy } from './envoy-answers.ts';
import { Inspections } from './inspections.ts';
import type { Action, ActionOf, EventOf, ServiceAction, SessionEvent } from './protocol.ts';
import type { SessionServices } from './services.ts';
import { type LiveFacts, Session } from './session.ts';
import { sessionContext } from './session-context.ts';
import { noteTarget } from './target-notes.ts';

/** Unsent bytes of a response at which the driver stops reading until its client has caught up. */
const UNSENT_BYTES_A_STREAM = 64 * 1024;

/** Returns undefined without a policy; the exchange must be refused then. */
export function drive(exchange: Exchange, shared: SessionServices): ExchangeHandler | undefined {
  const policy = shared.policy();
  return policy && new Drive(exchange, shared, policy);
}

const NOTHING: SessionEvent[] = [];

/** Takes the place of an action that is carried out, so that its bytes can go. */
const ACTED: Action = { type: 'stop-timer' };
const MAX_LISTED_ACTIONS = 16;

/** A request in flight, for operators. */
export interface LiveRequest {
  /** Returns what costs nothing to know; undefined: the request is over. */
  facts(): LiveFacts | undefined;
  readonly heldTokens: number;
  /** Returns the record of the request, as if it ended now; undefined: it is over. */
  soFar(): RequestRecord | undefined;
  /** Ends the request for an operator. Returns false where the rest of a document still comes. */
  stop(by: string): boolean;
}

/** Returns the request of a handler that `drive` has created. */
export function liveRequest(handler: ExchangeHandler): LiveRequest | undefined {
  return handler instanceof Drive ? handler : undefined;
}

class Drive implements ExchangeHandler, BodyOwner, LiveRequest {
  readonly #exchange: Exchange;
  readonly #shared: SessionServices;
  readonly #session: Session;
  readonly #account: Account;
  #events: SessionEvent[] = [];
  #actions: Action[] = [];
  /** Events that arrive while the request is queued; replayed once it has been started. */
  #deferred: SessionEvent[] | undefined;
  #running = false;
  /** The session waits; nothing more is read. */
  #blocked = false;
  #paused = false;
  #closed = false;
  #failed = false;
  #cancel: Cancel | undefined;
  #body: Body | undefined;
  #stopCount: (() => void) | undefined;
  #unwatch: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #attempts: AttemptExchanges | undefined;
  #openInspections: Inspections | undefined;
  #inflater: Inflater | undefined;
  #inflaterFull = false;

  constructor(exchange: Exchange, shared: SessionServices, policy: CompiledPolicy) {
    this.#exchange = exchange;
    this.#shared = shared;
    this.#account = new Account(shared);
    this.#session = new Session(sessionContext(shared, policy));
  }

  requestHeaders(headers: HeaderList, endOfStream: boolean, attributes: ReadonlyMap<string, string>): void {
    const routeName = attributes.get(ROUTE_NAME_ATTRIBUTE);
    // Only an attempt has no route name.
    if (routeName === undefined && this.#shared.openAttempts.take(this.#exchange, attributes)) {
      return;
    }
    const { traceParent } = this.#exchange;
    this.#handle({ type: 'request-headers', headers, endOfStream, routeName, attributes, traceParent });
    if (endOfStream || this.#failed || !this.#session.collecting) {
      return;
    }
    this.#body = this.#shared.bodies.begin(this, headerBytes(headers));
  }

  requestBody(bytes: Uint8Array, endOfStream: boolean): void {
    const event: SessionEvent = { type: 'request-body', bytes, endOfStream };
    if (endOfStream) {
      this.#admit(event);
    } else if (this.#body?.ended === undefined) {
      this.#handle(event);
    }
  }

  requestTrailers(): void {
    this.#admit({ type: 'request-trailers' });
  }

  responseHeaders(headers: HeaderList, endOfStream: boolean, attributes: ReadonlyMap<string, string>): void {
    const codeDetails = attributes.get(CODE_DETAILS_ATTRIBUTE);
    this.#handle({ type: 'response-headers', headers, endOfStream, codeDetails, path: attributes.get(PATH_ATTRIBUTE) });
  }

  responseBody(bytes: Uint8Array, endOfStream: boolean): void {
    this.#handle({ type: 'response-body', bytes, endOfStream });
  }

  responseTrailers(): void {
    this.#handle({ type: 'response-trailers' });
  }

  drained(): void {
    this.#pace();
  }

  closed(clean: boolean): void {
    this.#closed = true;
    // A request that was not started has cost nothing.
    this.#deferred = undefined;
    this.#handle({ type: 'closed', clean, broken: this.#shared.broken.take(this.#session.requestId) });
    if (this.#session.over) {
      this.#inflater?.close();
    }
  }

  revoke(): void {
    this.#handle({ type: 'revoked' });
  }

  stop(by: string): boolean {
    this.#handle({ type: 'stopped', by });
    return this.#session.stoppedBy !== undefined;
  }

  facts(): LiveFacts | undefined {
    return this.#failed ? undefined : this.#session.facts;
  }

  get heldTokens(): number {
    return this.#session.heldTokens;
  }

  soFar(): RequestRecord | undefined {
    return this.#failed ? undefined : this.#session.soFar(this.#shared.now());
  }

  endBody(why: BodyEnd): void {
    this.#handle({ type: why });
  }

  #admit(event: SessionEvent): void {
    const ended = this.#body && this.#shared.bodies.whole(this.#body);
    if (ended !== undefined) {
      this.#handle({ type: ended });
      return;
    }
    this.#deferred = NOTHING;
    this.#exchange.startRequest(() => {
      const deferred = this.#deferred ?? NOTHING;
      this.#deferred = undefined;
      this.#handle(event);
      for (const one of deferred) {
        this.#handle(one);
      }
    });
  }

  /** Queues events that actions cause synchronously: a session handles one event at a time. */
  #handle(event: SessionEvent): void {
    if (this.#failed) {
      return;
    }
    if (this.#deferred !== undefined) {
      this.#deferred = [...this.#deferred, event.type === 'response-body' ? kept(event) : event];
      return;
    }
    if (this.#running) {
      this.#events.push(event);
      return;
    }
    this.#running = true;
    try {
      for (let next: SessionEvent | undefined = event; next !== undefined; next = this.#next()) {
        const actions = this.#actionList();
        let at = actions.length;
        this.#blocked = this.#session.handle(next, this.#shared.now(), actions);
        for (; at < actions.length; at++) {
          const action = actions[at]!;
          actions[at] = ACTED;
          this.#act(action);
        }
      }
      this.#pace();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#running = false;
    }
  }

  /**
   * Returns a list for the actions of one event, after those of earlier events: a new list would
   * get room for 17 actions, and most events have one.
   */
  #actionList(): Action[] {
    if (this.#actions.length >= MAX_LISTED_ACTIONS) {
      this.#actions = [];
    }
    return this.#actions;
  }

  #next(): SessionEvent | undefined {
    return this.#events.length === 0 ? undefined : this.#events.shift();
  }

  /**
   * Ends this one stream after a fault of ours; Envoy replies for it. A step that fails does not
   * stop the others.
   */
  #fail(error: unknown): void {
    if (this.#failed) {
      return;
    }
    this.#failed = true;
    const { now, fault } = this.#shared;
    fault(error);
    const attempt = (step: () => void): boolean => {
      try {
        step();
        return true;
      } catch (another) {
        fault(another);
        return false;
      }
    };
    const record = (overdrafts: readonly Overdraft[]) =>
      attempt(() => this.#account.record(this.#session.faulted(now()), overdrafts));
    clearTimeout(this.#timer);
    attempt(() => this.#cancel?.());
    attempt(() => this.#stopCount?.());
    attempt(() => this.#openInspections?.stop());
    attempt(() => this.#unwatch?.());
    attempt(() => this.#inflater?.close());
    attempt(() => this.#releaseBody());
    attempt(() => this.#attempts?.close());
    if (!attempt(() => this.#account.settle('everything', record))) {
      record([]);
    }
    attempt(() => this.#exchange.abort());
  }

  #pace(): void {
    const held = this.#blocked || this.#exchange.unsentBytes > UNSENT_BYTES_A_STREAM;
    if (held) {
      this.#inflater?.pause();
    } else {
      this.#inflater?.resume();
    }
    const pause = !this.#closed && (held || this.#inflaterFull);
    if (pause === this.#paused) {
      return;
    }
    this.#paused = pause;
    if (pause) {
      this.#exchange.pause();
    } else {
      this.#exchange.resume();
    }
  }

  /** For callbacks that no caller guards. */
  #orFail(work: () => void): void {
    if (this.#failed) {
      return;
    }
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
  }

  #act(action: Action): void {
    const own = answerEnvoy(this.#exchange, action);
    if (own === undefined) {
      return;
    }
    switch (own.type) {
      case 'request-attempts':
      case 'attempt-request':
      case 'attempt-refused':
      case 'attempt-response':
        this.#attempts ??= new AttemptExchanges(this.#shared.openAttempts, (event) => this.#handle(event));
        this.#attempts.act(this.#exchange, own);
        break;
      default:
        this.#serve(own);
    }
  }

  #serve(action: ServiceAction): void {
    const { store, now } = this.#shared;
    switch (action.type) {
      case 'keep':
        this.#keep(action.bytes);
        break;
      case 'verify-tokens':
        void action.verified.then(() => this.#handle({ type: 'tokens-verified' }));
        break;
      case 'watch-caller':
        this.#unwatch = this.#shared.openCallers.add(this, action.identity);
        break;
      case 'reserve':
        this.#reserve(action.demand);
        break;
      case 'extend':
        this.#cancel = store.extend(action.hold, action.output, now(), (tokens) =>
          this.#handle({ type: 'extended', tokens }),
        );
        break;
      case 'read-quotas':
        this.#handle({ type: 'quotas-read', snapshots: store.snapshot(action.buckets, now()) });
        break;
      case 'cancel':
        this.#cancel?.();
        break;
      case 'count':
        this.#count(action);
        break;
      case 'stop-count':
        this.#stopCount?.();
        break;
      case 'inspect':
      case 'analyze':
      case 'stop-inspection':
        this.#inspections.act(action);
        break;
      case 'inflate':
        this.#inflate(action.encoding);
        break;
      case 'inflate-push':
        this.#inflaterFull = !this.#inflater!.push(action.bytes);
        break;
      case 'inflate-finish':
        this.#inflater!.finish();
        break;
      case 'start-timer':
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#handle({ type: 'first-token-timeout' }), action.ms);
        break;
      case 'stop-timer':
        clearTimeout(this.#timer);
        break;
      case 'finish':
        this.#finish(action);
        break;
      default:
        noteTarget(action, this.#shared);
    }
  }

  #keep(bytes: number): void {
    if (bytes < 0) {
      this.#releaseBody();
      this.#reuseBody();
    } else if (this.#body !== undefined) {
      this.#shared.bodies.add(this.#body, bytes);
    }
  }

  #reserve(demand: Demand): void {
    this.#cancel = this.#shared.store.reserve(demand, (decision) => {
      if (decision.type === 'granted') {
        this.#account.granted(decision.hold);
      }
      this.#handle({ type: 'reserved', decision });
    });
  }

  #count({ body, tokenizer, model, limitTokens }: ActionOf<'count'>): void {
    this.#stopCount = this.#shared.counts.add(
      newBodyCount(body, tokenizer, model, { limitTokens }),
      (tokens) => this.#handle({ type: 'counted', tokens }),
      (error) => this.#fail(error),
    );
  }

  get #inspections(): Inspections {
    const [handle, fail] = [(event: SessionEvent) => this.#handle(event), (error: unknown) => this.#fail(error)];
    this.#openInspections ??= new Inspections(this.#exchange, this.#shared, handle, fail);
    return this.#openInspections;
  }

  #inflate(encoding: string): void {
    this.#inflater = newInflater(encoding, {
      inSlices: (step) => this.#orFail(() => this.#exchange.inSlices(step)),
      onData: (bytes) => this.#handle({ type: 'inflated', bytes }),
      onEnd: () => this.#handle({ type: 'inflate-end', error: false }),
      onDrain: () => {
        this.#inflaterFull = false;
        this.#orFail(() => this.#pace());
      },
      onError: () => this.#handle({ type: 'inflate-end', error: true }),
    });
  }

  #releaseBody(): void {
    if (this.#body !== undefined) {
      this.#shared.bodies.release(this.#body);
    }
  }

  /** The exchange of an attempt may still send the body of this one. */
  #reuseBody(): void {
    if (this.#attempts === undefined) {
      this.#exchange.releaseRequestBody();
    }
  }

  #finish({ settle, record }: ActionOf<'finish'>): void {
    const { estimates } = this.#shared;
    this.#unwatch?.();
    this.#attempts?.close();
    this.#releaseBody();
    this.#reuseBody();
    if (record.observed !== undefined) {
      const { key, outputTokens, durationMs } = record.observed;
      estimates.observe(...key, outputTokens, durationMs);
    }
    this.#account.settle(settle?.charge ?? 'nothing', (overdrafts) => this.#account.record(record, overdrafts));
  }
}

/** Copies the bytes of a response, which change after the call. */
function kept(event: EventOf<'response-body'>): SessionEvent {
  return { ...event, bytes: Buffer.from(event.bytes) };
}
