/** The first half of a session: what is asked for. Headers and body pieces enter; a request that is understood, or the reason why it is refused, leaves. */
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

/** A message to Envoy costs more than copying so much. */
const JOINED_BYTES = 16 * 1024;

/** Of clients: what providers take as an id, and a log line holds. */
const REQUEST_ID = /^[\w.~:=+/@-]{1,128}$/;

const noRoute = failure('unknown_endpoint', 'No route of this gateway serves this host name.');

/** A provider that honours it would read another body than we do. */
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
  /** The body is awaited. */
  | { readonly type: 'collect' }
  /** It is answered here. */
  | { readonly type: 'reply'; readonly body: Uint8Array }
  | { readonly type: 'passthrough'; readonly target: string };

/** A request that is read, routed and within the limits of one request: ready for its reservation. */
export interface PreparedRequest {
  /** Undefined once the body is released. */
  body: ScannedBody | undefined;
  readonly choice: RoutingDecision;
  readonly plan: QuotaPlan;
  readonly input: InputCount;
}

export class Request {
  /** The client's own where it is an id, else one of ours. */
  id: string | undefined;
  method = '';
  path = '';
  bodyBytes = 0;
  found: ClientApiMatch | undefined;
  /** As far as the request was understood. */
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
  #mostPassed = Number.POSITIVE_INFINITY;

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

  /** Whether the client takes an answer in all of these encodings. */
  accepts(encodings: string): boolean {
    const offered = this.header('accept-encoding').flatMap((value) => value.toLowerCase().split(','));
    const names = offered.map((offer) => offer.split(';', 1)[0]!.trim());
    return encodings.split(', ').every((name) => names.includes(name));
  }

  /** Envoy has answered before the request came here. */
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
      return failure(
        'unsupported_encoding',
        'Request bodies must not be compressed: send them without content-encoding.',
      );
    }
    if (OTHER_CHARSET.test(this.#first('content-type') ?? '')) {
      return failure('unsupported_encoding', 'Request bodies must be UTF-8: send them without another charset.');
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
    this.#mostPassed = passthrough.maxRequestBodyBytes ?? Number.POSITIVE_INFINITY;
    if (Number(this.#first('content-length')) > this.#mostPassed) {
      return bodyTooLarge(this.#mostPassed);
    }
    this.passthrough = { route: passthrough.route, rule: passthrough.rule };
    this.buckets = buckets;
    return { type: 'passthrough', target: passthrough.target };
  }

  /** A piece of the body that is kept. */
  push(bytes: Uint8Array): Failure | undefined {
    this.bodyBytes += bytes.length;
    const most = this.#entry!.maxRequestBodyBytes;
    return this.bodyBytes > most ? bodyTooLarge(most) : this.#scanner!.push(bytes);
  }

  /** What its body and what was found in it take in memory. */
  get keptBytes(): number {
    return this.#scanner?.keptBytes ?? 0;
  }

  /** A piece of a passthrough's body, which is not kept. */
  pass(bytes: Uint8Array): Failure | undefined {
    this.bodyBytes += bytes.length;
    return this.bodyBytes > this.#mostPassed ? bodyTooLarge(this.#mostPassed) : undefined;
  }

  /** The body is whole: from here on it is decided. */
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

  /** The body has gone on, or never will. */
  release(): void {
    this.#scanner?.release();
    this.#scanner = undefined;
    if (this.#prepared !== undefined) {
      this.#prepared.body = undefined;
    }
  }

  /**
   * None of our headers is believed from outside; identity is asked for where the answer may have to be changed. `whole`: of a body that was collected,
   * which may have another length now. Envoy takes a length from us only where it is told to (`allow_content_length_header`), and sends chunks elsewhere.
   */
  mutation(target: string, whole?: { readonly streamed: boolean; readonly bodyBytes: number }): HeaderMutation {
    const remove: string[] = [];
    hideFromProvider(this.#headers, remove);
    const set: (readonly [string, string])[] = [[ROUTE_HEADER, target]];
    if (this.#ownId) {
      set.push([REQUEST_ID_HEADER, this.id!]);
    }
    if (whole !== undefined) {
      set.push(['content-length', String(whole.bodyBytes)]);
    }
    if (whole?.streamed) {
      set.push(['accept-encoding', 'identity']);
    }
    return { set, remove, clearRouteCache: true };
  }

  /** The body as it goes on: the model's name, a lower output bound and the wish for usage are all that changes. */
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
