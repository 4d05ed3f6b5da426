/**
 * The interface of the adapters. An adapter defines the client APIs of one family: what a request
 * asks for, how it may be edited, what a response and its stream mean, and how refusals and early
 * ends look. Everything here is pure: bytes in, facts and bytes out.
 */
import type { EndpointName } from '../../contract/access-policy.ts';
import type { ModelPrices } from '../../contract/tokens.ts';
import type { Failure } from '../errors.ts';
import type { FormFields } from '../json/form-body.ts';
import type { ScannedBody } from '../json/scanner.ts';
import type { Shape } from '../json/shape.ts';
import type { Splice } from '../json/splice.ts';
import type { TextSink } from '../json/text-sink.ts';
import type { ModelApi } from '../model-api.ts';
import type { Operation } from '../record.ts';
import type { Usage } from '../usage.ts';
import type { RequestLabels } from './labels.ts';
import type { BackendApi } from './openai/server-dialects.ts';

export interface ClientApi {
  readonly method: string;
  /** An exact path, or one with names in braces; see `path-pattern.ts`. */
  readonly path: string;
  /** The name in access policies. Absent where the gateway answers: every caller may ask. */
  readonly name?: EndpointName;
  readonly operation: Operation;
  /** APIs of models that serve this client API without conversion. */
  readonly providerApis: readonly ModelApi[];
  /**
   * Whether a server of these APIs does not serve this client API, or not for this model; absent:
   * all do.
   */
  readonly isMissingAt?: (backend: BackendApi, model: string) => boolean;
  readonly dialect: Dialect;
  /**
   * `metered`: collects the body, counts tokens, holds quotas. `free`: reads the body for the model
   * only and charges no tokens (count_tokens). To the others, the gateway replies itself.
   */
  readonly kind: 'metered' | 'free' | OwnKind;
  /** The parts of the request's body that are read. */
  readonly shape: Shape;
  /** Present where the body is a form; then it has these fields instead of a shape. */
  readonly form?: FormFields;
  /** Reads a whole, scanned request body. Problems are returned as a Failure. */
  readRequest(body: ScannedBody, address: RequestAddress): RequestFacts | Failure;
  readonly edit: EditRequest;
  /** Returns the path at the backend, where it names the model; absent: the client's own. */
  readonly providerPath?: (request: RequestFacts, model: string, backend: BackendApi) => string | undefined;
  /** Returns the headers with the labels of a request; absent: the body has them, or nothing. */
  readonly labelHeaders?: (labels: RequestLabels, backend: BackendApi) => readonly (readonly [string, string])[];
  /**
   * Whether a model of this name bills output that it does not stream. For the name that a backend
   * uses, where it differs from the request's.
   */
  readonly hidesOutput?: (model: string, request: RequestFacts) => boolean;
  /** For `metered` APIs. */
  readonly response?: (request: RequestFacts, options: ResponseOptions) => ResponseAdapter;
  /** For `models` APIs. */
  readonly modelsBody?: ModelsBody;
  /**
   * Returns the reply with the tokens of a prompt. The gateway counts them itself where a backend
   * has no such API.
   */
  readonly countReply?: (inputTokens: number) => Uint8Array;
}

/** Where a request goes. */
export interface RequestAddress {
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
}

/** `models`: lists of models. `quota`: what is left. `sign-in`: how command lines sign in. */
export type OwnKind = 'models' | 'quota' | 'sign-in';

export interface RequestFacts {
  readonly model: string;
  readonly stream: boolean;
  /** The number of choices: each may use the whole output bound. */
  readonly choices: number;
  /** The number of choices that are returned, where further ones are only generated and billed. */
  readonly shownChoices?: number;
  /** The client's output bound, in tokens per choice. */
  readonly askedOutputTokens?: number;
  /** The least output bound that the API accepts (minimum of the API, reasoning budget + 1, …). */
  readonly leastOutputTokens: number;
  /**
   * Whether the provider enforces an output bound. False for embeddings (no output at all): see
   * `hasOutput`.
   */
  readonly hasOutput: boolean;
  /**
   * Hidden output (reasoning that is billed and not streamed), as far as the request and the
   * model's name show.
   */
  readonly hiddenOutput: boolean;
  /** The request switches reasoning off, which not every model allows. */
  readonly reasoningOff?: boolean;
  /** The service tier that the request asks for; absent: the provider's settings decide. */
  readonly serviceTier?: string;
  /** The client asked for usage in the stream. */
  readonly usageAsked: boolean;
  /**
   * Bytes of all text that the provider tokenizes, escapes included: with `overheadTokens` an upper
   * bound of its tokens.
   */
  readonly textBytes: number;
  /** An upper bound of the tokens that the API adds around the text (roles, separators). */
  readonly overheadTokens: number;
  /**
   * A rough count for images, audio and files in the body. More than 0 means that the input has no
   * upper bound.
   */
  readonly mediaTokens: number;
  /** Token ids given instead of text (embeddings, completions): exact. */
  readonly givenTokens: number;
  /** Why the cost has no upper bound; empty if it has one. */
  readonly unbounded: readonly Unbounded[];
  /**
   * How often a price for each request is due, as far as the request shows: images that are made,
   * search units. Absent: once.
   */
  readonly priceUnits?: number;
}

export type Unbounded =
  | 'background'
  | 'stored_conversation'
  | 'file_reference'
  | 'remote_url'
  | 'server_tool'
  | 'stored_prompt';

export interface RequestEdits {
  readonly model?: string;
  /** A lower output bound for each choice, in tokens. */
  readonly outputTokens?: number;
  /** Request usage in the stream. */
  readonly askUsage?: boolean;
  /** Labels in place of the client's. */
  readonly labels?: RequestLabels;
}

export interface ResponseOptions {
  /** Remove the usage that the gateway requested from the stream. */
  readonly hideUsage: boolean;
  /** The client's name of the model, for events that the gateway writes. */
  readonly model: string;
  /** False: read each event completely, for tests that compare both ways. */
  readonly templates?: boolean;
  /** The time of the request, for responses that carry one. */
  readonly createdMs?: number;
  /** An estimate of the input, for converted responses of providers that report no usage. */
  readonly inputTokens?: () => number;
  /** The id of the request, for responses to which the provider gives no id. */
  readonly requestId?: string | undefined;
  /** Whether a document is read for what only traces show. */
  readonly isTraced?: boolean;
}

/**
 * Reads the response to one request, and ends it early. The first bytes decide between document and
 * stream.
 */
export interface ResponseAdapter {
  readonly unary: UnaryReader;
  readonly reader: EventReader;
  readonly writer: StreamWriter;
  /** How a stream is divided into events; absent: `sse`. */
  readonly framing?: Framing | undefined;
  /** A response that is no stream need not be JSON, and may begin with any bytes. */
  readonly anyBytes?: boolean;
  /** A response that is not JSON is plain text, as a transcript may be. */
  readonly plainText?: boolean;
  /** Present where the provider speaks another API than the client. */
  readonly conversion?: ResponseConversion | undefined;
}

/** `sse`: server-sent events. `aws-event-stream`: binary messages. */
export type Framing = 'sse' | 'aws-event-stream';

/** Turns what a provider of another API sends into what the client expects. */
export interface ResponseConversion {
  /** Fields of the request that the provider did not get. */
  readonly dropped: readonly string[];
  /** Returns a whole document, which `unary` has read, in the client's form. */
  document(bytes: Uint8Array): Uint8Array | Failure;
  /** Returns the same as a complete stream, for a client that asked for one. */
  streamOf(bytes: Uint8Array): Uint8Array;
  /** Returns an error response in the client's form; `type` as a header has it. */
  error(status: number, bytes: Uint8Array, type?: string): ConvertedError;
}

export interface ConvertedError {
  readonly status: number;
  readonly body: Uint8Array;
  /** Sent as `retry-after`, in whole seconds. */
  readonly retryAfterMs?: number | undefined;
}

/**
 * Reads what a provider sends in a stream, event by event. Knows nothing of the client, which gets
 * an event later or never. One instance per stream.
 */
export interface EventReader<Facts extends EventFacts = EventFacts> {
  /**
   * Reads one whole event [start, end) with its final blank line. Text goes to `sink`. The facts
   * are for the writer, when the event goes to the client.
   * An event that cannot be read is counted in `unreadable`.
   */
  read(bytes: Uint8Array, start: number, end: number, sink: TextSink): Facts;
  /**
   * Reads a part of an event that is too long to be kept; `ends`: the last part, whose facts are
   * those of the event.
   */
  readPart(bytes: Uint8Array, start: number, end: number, ends: boolean, sink: TextSink): Facts;
  /** The latest usage that the provider reported, complete or not. */
  readonly usage: Usage | undefined;
  /** Whether `usage` is the provider's final report. */
  readonly usageFinal: boolean;
  readonly state: StreamState;
  /** The model that the response names. */
  readonly responseModel: string | undefined;
  /** The service tier that the response names. */
  readonly serviceTier: string | undefined;
  readonly unreadable: number;
  /** What traces name; absent where an API has none. */
  readonly responseId?: string | undefined;
  readonly finishReasons?: readonly string[] | undefined;
}

/** `finished`: the API's end of stream was seen. `failed`: the provider reported an error. */
export type StreamState = 'open' | 'finished' | 'failed';

/** What an event means for the client's side of a stream. Reader and writer of an API share it. */
export interface EventFacts {
  /**
   * Returns facts that stay valid, for an event that is held. The reader may reuse its own for the
   * next event, and they may refer to the event's bytes.
   */
  kept(): EventFacts;
}

/** What happens to an event. */
export type EventVerdict = 'pass' | 'drop' | 'replace';

/**
 * Knows what a client was sent of a stream, and ends that stream early. Knows nothing of events
 * that were read and not sent.
 */
export interface StreamWriter<Facts extends EventFacts = EventFacts> {
  /**
   * Takes a whole event, or the last part of a long one, that goes to the client now. On `replace`,
   * `replacement` holds the bytes to send.
   */
  write(bytes: Uint8Array, start: number, end: number, facts: Facts): EventVerdict;
  readonly replacement: Uint8Array;
  /**
   * Returns the events that end the stream early: closes everything open, with the reason length
   * and the usage so far. Empty if the client has the end already.
   */
  truncate(usage: Usage): Uint8Array;
  /** Returns an error event of the API that ends the stream. */
  fail(failure: Failure): Uint8Array;
  /**
   * The client gets nothing of the provider's bytes: each event is replaced or dropped, and
   * `replacement` is for all events since it was read last.
   */
  readonly converts?: boolean;
  /** Called once the provider's stream is over. Returns what the client still lacks. */
  end?(): Uint8Array;
}

/** Reads a unary response. Its bytes pass unchanged. */
export interface UnaryReader {
  /** Takes pieces in order; text goes to `sink`. Memory is bounded for any input. */
  push(bytes: Uint8Array, sink: TextSink): void;
  /** Ends the use of this reader. */
  release(): void;
  readonly usage: Usage | undefined;
  readonly responseModel: string | undefined;
  readonly serviceTier: string | undefined;
  /** The response is not one JSON document. */
  readonly broken: boolean;
  /** How often a price for each request is due, where the provider says so. */
  readonly priceUnits?: number | undefined;
  /** What traces name; absent where an API has none. */
  readonly responseId?: string | undefined;
  readonly finishReasons?: readonly string[] | undefined;
}

/** The error format and the rate limit headers of a family of client APIs. */
export interface Dialect {
  readonly name: 'openai' | 'anthropic' | 'tgi' | 'google';
  /** Returns the body of an error response. */
  errorBody(failure: Failure): Uint8Array;
  readonly limitHeaders: LimitHeaders;
}

/**
 * Header names for one bucket's state, for example `x-ratelimit-remaining-tokens` or
 * `anthropic-ratelimit-tokens-remaining`. `reset` formats the time.
 */
export interface LimitHeaders {
  name(
    what: 'limit' | 'remaining' | 'reset',
    of: 'requests' | 'tokens' | 'input-tokens' | 'output-tokens' | 'weighted-tokens',
  ): string;
  reset(atMs: number, nowMs: number): string;
}

/**
 * Returns the splices that apply `edits` to the scanned body of this client API, for this backend
 * (member names differ).
 */
export type EditRequest = (body: ScannedBody, edits: RequestEdits, backend: BackendApi) => readonly Splice[];

/**
 * Returns the models list (`/v1/models`), or the one model that the path names
 * (`/v1/models/{model}`).
 */
export type ModelsBody = (models: ServedModels, path: string, query: URLSearchParams) => Uint8Array | Failure;

/** The models that the caller may use. */
export interface ServedModels {
  /** All models that are known by name, sorted by name. */
  list(): readonly ServedModel[];
  /**
   * Returns a model for which a request would be routed; undefined: there is none. Globs match
   * names that are not listed.
   */
  find(name: string): ServedModel | undefined;
}

/** A model and what is known of it. */
export interface ServedModel {
  /** The client's name of the model. */
  readonly name: string;
  /** The maximum of prompt and output together. */
  readonly contextTokens: number | undefined;
  readonly maxOutputTokens: number | undefined;
  readonly prices: ModelPrices | undefined;
}
