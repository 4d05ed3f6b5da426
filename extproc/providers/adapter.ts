/**
 * The one form that all wire adapters have. An adapter says which endpoints a schema has, what a request asks for, how it may be edited, what an answer
 * and its stream mean, and how refusals and early ends look in its dialect. Everything here is pure: bytes in, facts and bytes out.
 */
import type { ProviderApi } from '../../contract/policy.ts';
import type { Failure } from '../errors.ts';
import type { ScannedBody } from '../json/scanner.ts';
import type { Shape } from '../json/shape.ts';
import type { Splice } from '../json/splice.ts';
import type { TextSink } from '../json/text-sink.ts';
import type { Operation } from '../record.ts';
import type { Usage } from '../usage.ts';

export interface ClientApi {
  readonly method: string;
  /** Exact path, or with one `{…}` segment. */
  readonly path: string;
  readonly operation: Operation;
  /** Backends that serve it as it is. */
  readonly providerApis: readonly ProviderApi[];
  readonly dialect: Dialect;
  /** `metered`: collects the body, counts, holds quotas. `free`: body is read for the model only; no tokens are charged (count_tokens). `models`: answered here. */
  readonly kind: 'metered' | 'free' | 'models';
  /** What of the request's body is read. */
  readonly shape: Shape;
  /** Reads a whole, scanned request body. Throws nothing: what is wrong is a Failure. */
  readRequest(body: ScannedBody): RequestFacts | Failure;
  readonly edit: EditRequest;
  /** Whether a model of this name bills output that it does not stream: for the name that a backend calls it, where that differs from the request's. */
  readonly hidesOutput?: (model: string) => boolean;
  /** For `metered` endpoints. */
  readonly answer?: (
    request: RequestFacts,
    options: AnswerOptions,
  ) => { readonly unary: UnaryReader; readonly stream: StreamReader };
  /** For `models` endpoints. */
  readonly modelsBody?: ModelsBody;
}

export interface RequestFacts {
  readonly model: string;
  readonly stream: boolean;
  /** How many answers are asked for: each may use the whole output bound. */
  readonly choices: number;
  /** How many of them are shown, where the others are made and billed only. */
  readonly shownChoices?: number;
  /** The output bound that the client sent, in tokens for each choice. */
  readonly askedOutputTokens?: number;
  /** The least output bound that the API takes (minimum of the API, reasoning budget + 1, …). */
  readonly leastOutputTokens: number;
  /** Whether the provider keeps to an output bound here. False for embeddings (no output at all): see `hasOutput`. */
  readonly hasOutput: boolean;
  /** Hidden output (reasoning that is billed and not streamed), as far as the request and the model's name tell. */
  readonly hiddenOutput: boolean;
  /** The client asked for usage in the stream itself. */
  readonly usageAsked: boolean;
  /** Bytes of all text that the provider tokenizes, escapes included: with `overheadTokens` an upper bound of its tokens. */
  readonly textBytes: number;
  /** Tokens that the dialect adds around the text (roles, separators), an upper bound. */
  readonly overheadTokens: number;
  /** A rough count for images, audio and files that are in the body; more than 0 means that input is not bounded beforehand. */
  readonly mediaTokens: number;
  /** Token ids given in place of text (embeddings, completions): exact. */
  readonly givenTokens: number;
  /** Why the cost cannot be bounded beforehand; empty: it can. */
  readonly unbounded: readonly Unbounded[];
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
  /** Ask for usage in the stream. */
  readonly askUsage?: boolean;
}

export interface AnswerOptions {
  /** Take the usage that we asked for out of the stream again. */
  readonly hideUsage: boolean;
  /** What the client called the model, for events that we write ourselves. */
  readonly model: string;
  /** False: read each event whole, for tests that hold the quick way against the slow one. */
  readonly templates?: boolean;
}

/** What is to be done with an event. */
export type Verdict = 'pass' | 'drop' | 'replace';

/** Reads a streamed answer, event by event. One instance a stream; state is small. */
export interface StreamReader {
  /**
   * Reads one whole event [start, end), its ending blank line included. Text goes to `sink`. On `replace`, `replacement` holds the bytes to send.
   * An event that cannot be read passes and is counted in `unreadable`.
   */
  read(bytes: Uint8Array, start: number, end: number, sink: TextSink): Verdict;
  /** Reads a part of an event that is too long to be kept; `ends`: the last one. Its bytes pass as they are. */
  readPart(bytes: Uint8Array, start: number, end: number, ends: boolean, sink: TextSink): void;
  readonly replacement: Uint8Array;
  /** The latest usage that the provider has told, complete or not. */
  readonly usage: Usage | undefined;
  /** True once `usage` is the provider's last word. */
  readonly usageFinal: boolean;
  /** `finished`: the dialect's end was seen. `failed`: the provider said that it failed. */
  readonly state: 'open' | 'finished' | 'failed';
  /** The model that the answer names. */
  readonly responseModel: string | undefined;
  readonly unreadable: number;
  /**
   * The events that end the stream properly now: everything open is closed, the reason is length, then the usage.
   * Called once, instead of reading any further; `usage` is what was counted so far. The event that was read last is taken as not sent, and what it
   * began or ended as not happened, unless `lastSent` is true.
   */
  cut(usage: Usage, lastSent?: boolean): Uint8Array;
  /** An error event that ends the stream, in the dialect. */
  fail(failure: Failure): Uint8Array;
}

/** Reads an answer that comes in one JSON document. Its bytes pass unchanged. */
export interface UnaryReader {
  /** Pieces in order; text goes to `sink`. Memory is bounded whatever comes. */
  push(bytes: Uint8Array, sink: TextSink): void;
  /** Nothing more is asked of it. */
  release(): void;
  readonly usage: Usage | undefined;
  readonly responseModel: string | undefined;
  /** What came is not one JSON document. */
  readonly broken: boolean;
}

/** How refusals look, and what the rate limit headers are called. */
export interface Dialect {
  readonly name: 'openai' | 'anthropic' | 'tgi';
  errorBody(failure: Failure): Uint8Array;
  /** Whether a request to an unknown path speaks this dialect (headers tell). */
  readonly limitHeaders: LimitHeaders;
}

/** Header names for one bucket's state: e.g. `x-ratelimit-remaining-tokens`, `anthropic-ratelimit-tokens-remaining`. `reset` is rendered by the dialect. */
export interface LimitHeaders {
  name(what: 'limit' | 'remaining' | 'reset', of: 'requests' | 'tokens' | 'input-tokens' | 'output-tokens'): string;
  reset(atMs: number, nowMs: number): string;
}

/** The splices that carry out `edits` on the scanned body of this endpoint, for a backend of this schema (names of members differ). */
export type EditRequest = (body: ScannedBody, edits: RequestEdits, providerApi: ProviderApi) => readonly Splice[];

/** The models list in the dialect (`/v1/models`), or the one model that the path names (`/v1/models/{model}`). */
export type ModelsBody = (models: ServedModels, path: string) => Uint8Array | Failure;

export interface ServedModels {
  /** All that are known by name. */
  readonly names: readonly string[];
  /** Whether a request for this model would be routed: globs let through names that nothing lists. */
  serves(model: string): boolean;
}
