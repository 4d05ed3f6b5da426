/**
 * Converts requests and responses between a client API and a provider API. Each client API has
 * a `ConversionClient`, each provider API a `ConversionProvider`; `registry.ts` joins them.
 */
import type { ModelFacts } from '../../contract/policy.ts';
import type { Failure } from '../errors.ts';
import type { HeaderList } from '../exchange.ts';
import type {
  Dialect,
  EventReader,
  Framing,
  RequestFacts,
  ResponseOptions,
  StreamWriter,
  UnaryReader,
} from '../providers/adapter.ts';
import type { RequestLabels } from '../providers/labels.ts';
import type { BackendApi } from '../providers/openai/server-dialects.ts';
import type { AnswerFacts, AnswerPart, CollectedAnswer } from './answer.ts';
import type { Conversation, JsonRecord } from './conversation.ts';
import type { EventDataOf } from './event-data.ts';
import type { FieldNames, Losses } from './losses.ts';

/**
 * The client's side of a conversion. `Echo` is what its responses need of the request, such as
 * members that they repeat.
 */
export interface ConversionClient<Echo = unknown> {
  /** The client API's names of the optional parts of a request. */
  readonly fieldNames: FieldNames;
  readonly dialect: Dialect;
  /** The status of this API for a provider that is overloaded. */
  readonly overloadedStatus: number;
  /** Reads a request. Problems are noted in `losses`; what is returned then has no meaning. */
  read(document: unknown, losses: Losses): Conversation;
  /** Returns what the response needs of a request; absent: nothing. */
  echo?(request: JsonRecord): Echo;
  /** Writes a stream. */
  newWriter(request: RequestFacts, options: ResponseOptions, echo: Echo): StreamWriter<AnswerFacts>;
  /** Returns a unary response. */
  document(answer: CollectedAnswer, options: ResponseOptions, echo: Echo): Uint8Array;
}

/** The provider's side of a conversion. */
export interface ConversionProvider {
  /** Whether the model bills output that it does not stream. */
  hidesOutput(conversation: Conversation, model: string): boolean;
  /** How the provider divides its streams; absent: server-sent events. */
  readonly framing?: Framing;
  /** Finds the data of an event in this framing. */
  readonly eventData?: EventDataOf;
  /** Builds a request up to what only the reservation decides. Losses are noted in `losses`. */
  encode(conversation: Conversation, target: ConversionTarget, losses: Losses): EncodedRequest;
  /**
   * Returns what meters a response: the readers of the provider's own adapter. Absent: the parts
   * of the decoder meter it, `usage` among them.
   */
  meters?(request: RequestFacts, options: ResponseOptions): ResponseMeters;
  /** Returns what reads the contents of one response. */
  newDecoder(): AnswerDecoder;
  /** Reads the body of an error response, whose type may be in a header (`x-amzn-errortype`). */
  readError(status: number, document: unknown, type?: string): ProviderError;
}

export interface ConversionTarget {
  readonly backend: BackendApi;
  /** The model's name at the backend. */
  readonly model: string;
  readonly modelFacts: ModelFacts | undefined;
  readonly request: RequestFacts;
  readonly labels: RequestLabels | undefined;
}

/** A request that lacks only what the reservation decides. */
export interface EncodedRequest {
  /** `outputTokens` is a bound below the client's; undefined: the client's bound holds. */
  finish(outputTokens: number | undefined): ProviderRequest;
}

export interface ProviderRequest {
  /** With the prefix of the API (`/v1/messages`); Envoy rewrites it for the backend. */
  readonly path: string;
  readonly headers: HeaderList;
  readonly body: Uint8Array;
}

/** Both are used at most once. */
export interface ResponseMeters {
  readonly unary: UnaryReader;
  readonly reader: EventReader;
}

/** Reads the contents of one response. Bad input is an `error` part, never an exception. */
export interface AnswerDecoder {
  /**
   * Reads the data of one event of a stream. An event that gives one text and nothing else changes
   * nothing for the next event that equals it except for the text.
   */
  event(data: string): readonly AnswerPart[];
  document(document: unknown): readonly AnswerPart[];
}

/** An error as a provider reports it. */
export interface ProviderError {
  /** Its status for the client. */
  readonly status: number;
  readonly kind: Failure['kind'];
  readonly code: string;
  readonly message: string;
  /** How long to wait, where the body of the error says so. */
  readonly retryAfterMs?: number;
}
