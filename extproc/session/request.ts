/**
 * The client's request: reads its headers, collects or relays its body, and edits it for its
 * backend.
 */
import { REQUEST_ID_HEADER, ROUTE_HEADER, TRACE_STATE_HEADER } from '../../contract/headers.ts';
import { Presented } from '../access/presented.ts';
import type { ProviderRequest } from '../conversion/conversion.ts';
import type { ConvertedRequest } from '../conversion/converted-request.ts';
import { type Failure, failure, isFailure } from '../errors.ts';
import { firstHeader, type HeaderList, type HeaderMutation, headerValues } from '../exchange.ts';
import { newFormScanner } from '../json/form.ts';
import { newScanner } from '../json/json-tokenizer.ts';
import type { BodyScanner, ScannedBody } from '../json/scanner.ts';
import { splice } from '../json/splice.ts';
import type { CompiledPolicy, CompiledVirtualHost } from '../policy/compile.ts';
import type { ClientApi, Dialect } from '../providers/adapter.ts';
import type { RequestLabels } from '../providers/labels.ts';
import { type ClientApiMatch, dialectFor, findEndpoint } from '../providers/registry.ts';
import type { AgentIds } from '../record.ts';
import { RequestTrace, type TraceOptions } from '../trace-context.ts';
import type { QuotaPlan } from './admission/quota-plan.ts';
import type { RoutingDecision } from './admission/select-backend.ts';
import { agentIds } from './agent-ids.ts';
import { hideClientApi, hideFromProvider, setLabelHeaders } from './hidden-headers.ts';
import type { InputCount } from './input-count.ts';
import { PassthroughBody } from './passthrough-body.ts';
import type { Action, EventOf } from './protocol.ts';
import { bodyTooLarge } from './replies.ts';

/** Copying this much costs less than another message to Envoy. */
const JOINED_BYTES = 16 * 1024;

/** Bytes of a body that are read at once. */
const REPLACED_BYTES = 32 * 1024;

/**
 * Request ids of clients that providers accept and that fit into a log line; others are replaced.
 */
const REQUEST_ID = /^[\w.~:=+/@-]{1,128}$/;

const noRoute = failure('unknown_endpoint', 'No AIGatewayRoute serves this host name. Check the base URL.');

/** A provider that honours another charset would read another body than we do. */
const OTHER_CHARSET = /;\s*charset\s*=\s*(?!"?utf-?8"?\s*(;|$))/i;

const noAttributes: ReadonlyMap<string, string> = new Map();

export interface RequestContext {
  readonly policy: CompiledPolicy;
  readonly newId: () => string;
  /** Undefined: no request is traced. */
  readonly traces: TraceOptions | undefined;
}

/** A collected request that is read and routed. */
export interface PreparedRequest {
  /** Undefined once the body is released. */
  body: ScannedBody | undefined;
  readonly choice: RoutingDecision;
  /** Present where the target speaks another API than the client. */
  readonly converted: ConvertedRequest | undefined;
  readonly plan: QuotaPlan;
  readonly input: InputCount;
}

export class Request {
  /** The client's id where it is valid, else a new one. */
  id: string | undefined;
  method = '';
  path = '';
  entry: CompiledVirtualHost | undefined;
  /** Absent for passthrough. */
  found: ClientApiMatch | undefined;
  /** Present for passthrough. */
  passthroughBody: PassthroughBody | undefined;
  /** Set as far as the request could be read. */
  model: string | undefined;
  /** Undefined where no request is traced. */
  trace: RequestTrace | undefined;
  agent: AgentIds | undefined;
  /** The body has arrived, with its trailers if any. */
  complete = false;
  /** The client sent trailers after the body. */
  endedByTrailers = false;
  readonly #context: RequestContext;
  #headers: HeaderList = [];
  #attributes = noAttributes;
  #presented: Presented | undefined;
  #ownId = false;
  /** Present while the body is collected and kept. */
  #scanner: BodyScanner | undefined;
  /** What read the bodies that others took the place of. */
  readonly #replaced: BodyScanner[] = [];
  #collectedBytes = 0;
  #keptBytes = 0;

  constructor(context: RequestContext) {
    this.#context = context;
  }

  readonly header = (name: string): readonly string[] => headerValues(this.#headers, name);

  readonly #first = (name: string): string | undefined => firstHeader(this.#headers, name);

  /** The headers that the client sent. */
  get headerList(): HeaderList {
    return this.#headers;
  }

  /** The path with the query. */
  get target(): string {
    return this.#first(':path') ?? '';
  }

  get query(): URLSearchParams {
    const { target } = this;
    const at = target.indexOf('?');
    return new URLSearchParams(at < 0 ? '' : target.slice(at + 1));
  }

  get dialect(): Dialect {
    return this.found?.endpoint.dialect ?? dialectFor(this.path, this.#first);
  }

  /** What the client presents to prove who it is. */
  get presented(): Presented {
    this.#presented ??= new Presented(this.#credentialHeaders, this.#attributes);
    return this.#presented;
  }

  /** Google's clients may send their key in the query. */
  get #credentialHeaders(): HeaderList {
    const key = this.found?.endpoint.dialect.name === 'google' ? this.query.get('key') : null;
    return key === null ? this.#headers : [...this.#headers, ['x-goog-api-key', key]];
  }

  /** Whether the client accepts all of these encodings. */
  accepts(encodings: string): boolean {
    const offered = this.header('accept-encoding').flatMap((value) => value.toLowerCase().split(','));
    const names = offered.map((offer) => offer.split(';', 1)[0]!.trim());
    return encodings.split(', ').every((name) => names.includes(name));
  }

  /** Notes the path of a request to which Envoy replied before its headers reached us. */
  repliedAt(path: string): void {
    if (this.method === '') {
      this.path = withoutQuery(path);
    }
  }

  /** Reads the headers. Returns a failure where the request cannot be served. */
  headers(event: EventOf<'request-headers'>): Failure | undefined {
    const { headers, endOfStream, routeName, attributes, traceParent } = event;
    this.#headers = headers;
    const { traces } = this.#context;
    this.trace = traces && new RequestTrace(headers, traces, traceParent);
    this.#attributes = attributes ?? noAttributes;
    this.agent = agentIds(headers);
    this.complete = endOfStream;
    const id = this.#first(REQUEST_ID_HEADER);
    this.#ownId = id !== undefined && !REQUEST_ID.test(id);
    this.id = this.#ownId ? this.#context.newId() : id;
    this.method = this.#first(':method') ?? '';
    this.path = withoutQuery(this.#first(':path') ?? '');
    this.entry = this.#context.policy.entry(routeName);
    if (this.entry === undefined) {
      return noRoute;
    }
    this.found = findEndpoint(this.method, this.path, this.#first);
    if (this.found === undefined) {
      this.passthroughBody = new PassthroughBody();
      return undefined;
    }
    if (this.entry.rules.length === 0) {
      return noRoute;
    }
    const { endpoint } = this.found;
    const read = endpoint.kind === 'metered' || endpoint.kind === 'free';
    return read ? this.#collect(endpoint, this.entry.maxRequestBodyBytes) : undefined;
  }

  #collect(endpoint: ClientApi, maxBytes: number): Failure | undefined {
    const encoding = this.#first('content-encoding');
    if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
      return failure('unsupported_encoding', 'The request body is compressed. Send it without content-encoding.');
    }
    const contentType = this.#first('content-type') ?? '';
    if (OTHER_CHARSET.test(contentType)) {
      return failure('unsupported_encoding', 'The request body is not UTF-8. Send it without another charset.');
    }
    if (this.#announcedBytes > maxBytes) {
      return bodyTooLarge(maxBytes);
    }
    const scanner = newBodyScanner(endpoint, contentType);
    if (isFailure(scanner)) {
      return scanner;
    }
    this.#scanner = scanner;
    return undefined;
  }

  /** NaN where the client does not announce the length of the body. */
  get #announcedBytes(): number {
    return Number(this.#first('content-length'));
  }

  /** Sets the limit of a passthrough body. Returns a failure where it is known to be exceeded. */
  limitPassthrough(maxBytes = Number.POSITIVE_INFINITY): Failure | undefined {
    return this.#announcedBytes > maxBytes ? bodyTooLarge(maxBytes) : this.passthroughBody!.limitTo(maxBytes);
  }

  /** Whether parts of the body are kept as they arrive. */
  get collecting(): boolean {
    return this.#scanner !== undefined && !this.complete;
  }

  get bodyBytes(): number {
    return this.passthroughBody?.bytes ?? this.#collectedBytes;
  }

  /** Takes a part of the body: collects it, relays it, or drops it where nobody needs it. */
  part(event: EventOf<'request-body' | 'request-trailers'>, out: Action[]): Failure | undefined {
    this.endedByTrailers = event.type === 'request-trailers';
    this.complete = event.type === 'request-trailers' || event.endOfStream;
    if (this.passthroughBody !== undefined) {
      return this.passthroughBody.handle(event, out);
    }
    if (event.type === 'request-trailers' || event.bytes.length === 0 || this.#scanner === undefined) {
      return undefined;
    }
    this.#collectedBytes += event.bytes.length;
    const most = this.entry!.maxRequestBodyBytes;
    const problem = this.#collectedBytes > most ? bodyTooLarge(most) : this.#scanner.push(event.bytes);
    const { keptBytes } = this.#scanner;
    out.push({ type: 'keep', bytes: keptBytes - this.#keptBytes });
    this.#keptBytes = keptBytes;
    return problem;
  }

  /** Accounts for another form of the body, which takes about as much memory again. */
  keepAgain(out: Action[]): void {
    out.push({ type: 'keep', bytes: this.#collectedBytes });
    this.#keptBytes += this.#collectedBytes;
  }

  /** Reads another body in place of the client's, in steps. */
  *replaceBody(pieces: readonly Uint8Array[]): Generator<number, ScannedBody | Failure> {
    const scanner = newBodyScanner(this.found!.endpoint, this.#first('content-type') ?? '');
    if (isFailure(scanner)) {
      return scanner;
    }
    this.#replaced.push(this.#scanner!);
    this.#scanner = scanner;
    for (const piece of pieces) {
      for (let at = 0; at < piece.length; at += REPLACED_BYTES) {
        const problem = scanner.push(piece.subarray(at, at + REPLACED_BYTES));
        if (problem !== undefined) {
          return problem;
        }
        yield REPLACED_BYTES;
      }
    }
    return scanner.finish();
  }

  /** Returns the complete body. */
  scanned(): ScannedBody | Failure {
    return this.#scanner!.finish();
  }

  /** Drops the body and the credentials: the request is forwarded, or never will be. */
  release(out: Action[]): void {
    if (this.#keptBytes > 0) {
      out.push({ type: 'keep', bytes: -this.#keptBytes });
    }
    this.#keptBytes = 0;
    this.#scanner?.release();
    this.#scanner = undefined;
    for (const scanner of this.#replaced.splice(0)) {
      scanner.release();
    }
    this.#attributes = noAttributes;
    this.#presented = undefined;
  }

  /**
   * Sets the header of the target route and removes what clients must not send. `collected`
   * describes an edited body: Envoy uses its length only with `allow_content_length_header`, and
   * sends chunks otherwise. A stream must not be compressed, because it may be edited.
   */
  mutation(target: string, collected?: CollectedBody): HeaderMutation {
    const remove: string[] = [];
    hideFromProvider(this.#headers, remove);
    if (this.trace !== undefined && this.trace.parent === undefined) {
      remove.push(TRACE_STATE_HEADER);
    }
    const set: (readonly [string, string])[] = [[ROUTE_HEADER, target]];
    if (this.#ownId) {
      set.push([REQUEST_ID_HEADER, this.id!]);
    }
    if (collected !== undefined) {
      set.push(['content-length', String(collected.bodyBytes)]);
    }
    if (collected?.streamed) {
      set.push(['accept-encoding', 'identity']);
    }
    if (collected?.path !== undefined) {
      set.push([':path', collected.path]);
    }
    if (collected?.converted !== undefined) {
      hideClientApi(this.#headers, remove);
      set.push(['content-type', 'application/json'], ...collected.converted.headers);
    }
    if (collected?.labelHeaders !== undefined) {
      setLabelHeaders(collected.labelHeaders, set, remove);
    }
    return { set, remove, clearRouteCache: true };
  }

  /**
   * Returns the body for the backend. Only the model, a lower output bound, the request for usage
   * and labels differ.
   */
  outgoing(
    prepared: PreparedRequest,
    heldOutputTokens: number | undefined,
    askUsage: boolean,
    labels: RequestLabels | undefined,
  ): readonly Uint8Array[] {
    const { body, choice } = prepared;
    const { facts, target } = choice;
    const bound = outputBound(prepared, heldOutputTokens);
    const edits = {
      ...(target.model === undefined || target.model === facts.model ? {} : { model: target.model }),
      ...(bound === undefined ? {} : { outputTokens: bound }),
      ...(askUsage ? { askUsage } : {}),
      ...(labels === undefined ? {} : { labels }),
    };
    const splices = this.found!.endpoint.edit(body!, edits, target.backendPolicy);
    return joined(splices.length === 0 ? body!.bytes : splice(body!.bytes, splices));
  }
}

/** Describes the body for the backend. */
interface CollectedBody {
  readonly streamed: boolean;
  readonly bodyBytes: number;
  /** Undefined: the client's. */
  readonly path: string | undefined;
  readonly converted: ProviderRequest | undefined;
  /** Undefined: the backend has no labels. */
  readonly labelHeaders?: HeaderList | undefined;
}

/** Returns the output bound of each choice that the backend must keep, below the client's own. */
export function outputBound(
  { choice, plan }: PreparedRequest,
  heldOutputTokens: number | undefined,
): number | undefined {
  const granted =
    plan.output.mode === 'bound' && heldOutputTokens !== undefined
      ? Math.floor(heldOutputTokens / choice.facts.choices)
      : undefined;
  return granted !== undefined && granted < plan.choiceTokens ? granted : plan.policyBound;
}

function newBodyScanner({ shape, form }: ClientApi, contentType: string): BodyScanner | Failure {
  return form === undefined ? newScanner(shape) : newFormScanner(form, contentType);
}

function withoutQuery(path: string): string {
  return path.split('?', 1)[0]!;
}

function joined(pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
  return pieces.length > 1 && bytes <= JOINED_BYTES ? [Buffer.concat(pieces)] : pieces;
}
