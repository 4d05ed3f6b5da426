/**
 * The request side of a session: reads headers and body, routes the request, and edits it for its
 * backend.
 */
import { REQUEST_ID_HEADER, ROUTE_HEADER } from '../../contract/headers.ts';
import { type Failure, failure, isFailure } from '../errors.ts';
import type { HeaderList, HeaderMutation } from '../exchange.ts';
import { newScanner } from '../json/json-tokenizer.ts';
import type { JsonScanner, ScannedBody } from '../json/scanner.ts';
import { splice } from '../json/splice.ts';
import { type CompiledPolicy, type CompiledVirtualHost, speaks } from '../policy/compile.ts';
import type { Dialect } from '../providers/adapter.ts';
import { type ClientApiMatch, dialectFor, findEndpoint } from '../providers/registry.ts';
import type { BucketRef } from '../quota/store.ts';
import type { EstimateKey } from '../record.ts';
import {
  admitPassthrough,
  bodyTooLarge,
  planQuota,
  type QuotaPlan,
  type RoutingDecision,
  selectBackend,
} from './admission.ts';
import { hideFromProvider } from './hidden-headers.ts';
import { InputCount } from './input-count.ts';
import { findRule } from './routing.ts';

/** Copying this much costs less than another message to Envoy. */
const JOINED_BYTES = 16 * 1024;

/**
 * Request ids of clients that providers accept and that fit into a log line; others are replaced.
 */
const REQUEST_ID = /^[\w.~:=+/@-]{1,128}$/;

const noRoute = failure('unknown_endpoint', 'No AIGatewayRoute serves this host name. Check the base URL.');

/** A provider that honours another charset would read another body than we do. */
const OTHER_CHARSET = /;\s*charset\s*=\s*(?!"?utf-?8"?\s*(;|$))/i;

export interface RequestContext {
  readonly policy: CompiledPolicy;
  readonly newId: () => string;
  /** In [0, 1). */
  readonly random: () => number;
  readonly healthy: (target: string) => boolean;
  readonly holdTokens: (...key: EstimateKey) => number;
}

export type FirstStep =
  /** The body is needed. */
  | { readonly type: 'collect' }
  /** The gateway replies itself. */
  | { readonly type: 'reply'; readonly body: Uint8Array }
  | { readonly type: 'passthrough'; readonly target: string };

/**
 * A request that is read, routed and within the limits of one request: ready for its reservation.
 */
export interface PreparedRequest {
  /** Undefined once the body is released. */
  body: ScannedBody | undefined;
  readonly choice: RoutingDecision;
  readonly plan: QuotaPlan;
  readonly input: InputCount;
}

export class Request {
  /** The client's id where it is valid, else a new one. */
  id: string | undefined;
  method = '';
  path = '';
  bodyBytes = 0;
  found: ClientApiMatch | undefined;
  /** Set as far as the request could be read. */
  model: string | undefined;
  choice: RoutingDecision | undefined;
  /** The quotas that hold for the request, with their keys. */
  buckets: readonly BucketRef[] = [];
  /** The client sent trailers after the body. */
  endedByTrailers = false;
  /** Route and rule of a passthrough. */
  passthrough: { readonly route: string; readonly rule: string } | undefined;
  readonly #context: RequestContext;
  #headers: HeaderList = [];
  #ownId = false;
  #entry: CompiledVirtualHost | undefined;
  #scanner: JsonScanner | undefined;
  #prepared: PreparedRequest | undefined;
  #maxPassedBytes = Number.POSITIVE_INFINITY;

  constructor(context: RequestContext) {
    this.#context = context;
  }

  readonly header = (name: string): readonly string[] => {
    const values: string[] = [];
    for (const [key, value] of this.#headers) {
      if (key === name) {
        values.push(value);
      }
    }
    return values;
  };

  readonly #first = (name: string): string | undefined => this.#headers.find(([key]) => key === name)?.[1];

  get dialect(): Dialect {
    return this.found?.endpoint.dialect ?? dialectFor(this.path, this.#first);
  }

  /** Whether the client accepts all of these encodings. */
  accepts(encodings: string): boolean {
    const offered = this.header('accept-encoding').flatMap((value) => value.toLowerCase().split(','));
    const names = offered.map((offer) => offer.split(';', 1)[0]!.trim());
    return encodings.split(', ').every((name) => names.includes(name));
  }

  /** Notes the path of a request that Envoy answered before its headers reached us. */
  answeredAt(path: string): void {
    if (this.method === '') {
      this.path = withoutQuery(path);
    }
  }

  headers(headers: HeaderList, routeName: string | undefined): FirstStep | Failure {
    this.#headers = headers;
    const id = this.#first(REQUEST_ID_HEADER);
    this.#ownId = id !== undefined && !REQUEST_ID.test(id);
    this.id = this.#ownId ? this.#context.newId() : id;
    this.method = this.#first(':method') ?? '';
    this.path = withoutQuery(this.#first(':path') ?? '');
    this.#entry = this.#context.policy.entry(routeName);
    if (this.#entry === undefined) {
      return noRoute;
    }
    this.found = findEndpoint(this.method, this.path, this.#first);
    if (this.found === undefined) {
      return this.#passthrough(this.#entry);
    }
    if (this.#entry.rules.length === 0) {
      return noRoute;
    }
    const { endpoint } = this.found;
    if (endpoint.kind === 'models') {
      return this.#models(this.#entry);
    }
    const encoding = this.#first('content-encoding');
    if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
      return failure('unsupported_encoding', 'The request body is compressed. Send it without content-encoding.');
    }
    if (OTHER_CHARSET.test(this.#first('content-type') ?? '')) {
      return failure('unsupported_encoding', 'The request body is not UTF-8. Send it without another charset.');
    }
    const most = this.#entry.maxRequestBodyBytes;
    if (Number(this.#first('content-length')) > most) {
      return bodyTooLarge(most);
    }
    this.#scanner = newScanner(endpoint.shape);
    return { type: 'collect' };
  }

  #models(entry: CompiledVirtualHost): FirstStep | Failure {
    const { providerApis, modelsBody } = this.found!.endpoint;
    const body = modelsBody!(
      {
        names: entry.modelNames(providerApis),
        serves: (model) => {
          const rule = findRule(entry, model, this.header);
          return rule !== undefined && speaks(rule, providerApis);
        },
      },
      this.path,
    );
    return isFailure(body) ? body : { type: 'reply', body };
  }

  #passthrough(entry: CompiledVirtualHost): FirstStep | Failure {
    const admitted = admitPassthrough(entry, this.method, this.path, this.header);
    if (isFailure(admitted)) {
      return admitted;
    }
    const { passthrough, buckets } = admitted;
    this.#maxPassedBytes = passthrough.maxRequestBodyBytes ?? Number.POSITIVE_INFINITY;
    if (Number(this.#first('content-length')) > this.#maxPassedBytes) {
      return bodyTooLarge(this.#maxPassedBytes);
    }
    this.passthrough = { route: passthrough.route, rule: passthrough.rule };
    this.buckets = buckets;
    return { type: 'passthrough', target: passthrough.target };
  }

  /** Reads and keeps a piece of the body. */
  push(bytes: Uint8Array): Failure | undefined {
    this.bodyBytes += bytes.length;
    const most = this.#entry!.maxRequestBodyBytes;
    return this.bodyBytes > most ? bodyTooLarge(most) : this.#scanner!.push(bytes);
  }

  /** Memory of the body and of what was found in it. */
  get keptBytes(): number {
    return this.#scanner?.keptBytes ?? 0;
  }

  /** Notes a piece of a passthrough body, which is not kept. */
  pass(bytes: Uint8Array): Failure | undefined {
    this.bodyBytes += bytes.length;
    return this.bodyBytes > this.#maxPassedBytes ? bodyTooLarge(this.#maxPassedBytes) : undefined;
  }

  /** Reads and routes the complete request. */
  end(): PreparedRequest | Failure {
    const { endpoint } = this.found!;
    const { healthy, random, holdTokens } = this.#context;
    const body = this.#scanner!.finish();
    if (isFailure(body)) {
      return body;
    }
    const facts = endpoint.readRequest(body);
    if (isFailure(facts)) {
      return facts;
    }
    this.model = facts.model;
    const choice = selectBackend(this.#entry!, endpoint, facts, this.header, this.bodyBytes, healthy, random());
    if (isFailure(choice)) {
      return choice;
    }
    this.choice = choice;
    const planned = planQuota(endpoint, choice, this.header, holdTokens);
    if (isFailure(planned)) {
      return planned;
    }
    this.buckets = planned.buckets;
    this.#prepared = { body, choice, plan: planned, input: new InputCount(choice, planned) };
    return this.#prepared;
  }

  /** Drops the body: it is forwarded, or never will be. */
  release(): void {
    this.#scanner?.release();
    this.#scanner = undefined;
    if (this.#prepared !== undefined) {
      this.#prepared.body = undefined;
    }
  }

  /**
   * Sets the header of the target route and removes what clients must not send. `collected`
   * describes an edited body: Envoy uses its length only with `allow_content_length_header`, and
   * sends chunks otherwise. A stream must not be compressed, because it may be edited.
   */
  mutation(target: string, collected?: { readonly streamed: boolean; readonly bodyBytes: number }): HeaderMutation {
    const remove: string[] = [];
    hideFromProvider(this.#headers, remove);
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
    return { set, remove, clearRouteCache: true };
  }

  /**
   * Returns the body for the backend. Only the model, a lower output bound and the request for
   * usage differ.
   */
  outgoing(
    { body, choice, plan }: PreparedRequest,
    heldOutputTokens: number | undefined,
    askUsage: boolean,
  ): readonly Uint8Array[] {
    const { facts, target } = choice;
    const granted =
      plan.output.mode === 'bound' && heldOutputTokens !== undefined
        ? Math.floor(heldOutputTokens / facts.choices)
        : undefined;
    const bound = granted !== undefined && granted < plan.choiceTokens ? granted : plan.policyBound;
    const edits = {
      ...(target.model === undefined || target.model === facts.model ? {} : { model: target.model }),
      ...(bound === undefined ? {} : { outputTokens: bound }),
      ...(askUsage ? { askUsage } : {}),
    };
    const splices = this.found!.endpoint.edit(body!, edits, target.backendPolicy.schema);
    return joined(splices.length === 0 ? body!.bytes : splice(body!.bytes, splices));
  }
}

function withoutQuery(path: string): string {
  return path.split('?', 1)[0]!;
}

function joined(pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
  return pieces.length > 1 && bytes <= JOINED_BYTES ? [Buffer.concat(pieces)] : pieces;
}
