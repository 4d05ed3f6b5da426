/** Reads the response to a converted request, and writes it for the client. */
import { type Failure, isFailure } from '../errors.ts';
import type {
  ConvertedError,
  EventReader,
  Framing,
  RequestFacts,
  ResponseAdapter,
  ResponseConversion,
  ResponseOptions,
  StreamWriter,
  UnaryReader,
} from '../providers/adapter.ts';
import type { Usage } from '../usage.ts';
import { AnswerFacts, type AnswerPart, collectAnswer } from './answer.ts';
import type { ConversionClient, ConversionProvider, ResponseMeters } from './conversion.ts';
import { DecodingReader } from './decoding-reader.ts';
import { unreadableAnswer } from './failures.ts';
import { parsedJson } from './json-values.ts';
import { PartReader, PartUnaryReader } from './part-meters.ts';

const NOTHING = new Uint8Array(0);

interface AnswerContext {
  readonly client: ConversionClient;
  readonly provider: ConversionProvider;
  readonly request: RequestFacts;
  readonly options: ResponseOptions;
  /** Fields of the request that the provider did not get. */
  readonly dropped: readonly string[];
  /** What the client's side needs of the request. */
  readonly echo: unknown;
}

export class ConvertedAnswer implements ResponseAdapter, ResponseConversion {
  readonly dropped: readonly string[];
  readonly #client: ConversionClient;
  readonly #provider: ConversionProvider;
  readonly #request: RequestFacts;
  readonly #options: ResponseOptions;
  readonly #echo: unknown;
  #ownMeters: ResponseMeters | undefined;
  #ownUnary: UnaryReader | undefined;
  #reader: EventReader<AnswerFacts> | undefined;
  #writer: StreamWriter<AnswerFacts> | undefined;

  constructor({ client, provider, request, options, dropped, echo }: AnswerContext) {
    this.#client = client;
    this.#provider = provider;
    this.#request = request;
    this.#options = options;
    this.dropped = dropped;
    this.#echo = echo;
  }

  get conversion(): ResponseConversion {
    return this;
  }

  get framing(): Framing | undefined {
    return this.#provider.framing;
  }

  get unary(): UnaryReader {
    this.#ownUnary ??= this.#meters?.unary ?? new PartUnaryReader(this.#provider.newDecoder());
    return this.#ownUnary;
  }

  get reader(): EventReader {
    const { eventData } = this.#provider;
    const meter = this.#meters?.reader;
    this.#reader ??=
      meter === undefined
        ? new PartReader(this.#provider.newDecoder(), eventData)
        : new DecodingReader(meter, this.#provider.newDecoder(), eventData);
    return this.#reader;
  }

  get writer(): StreamWriter {
    this.#writer ??= this.#client.newWriter(this.#request, this.#options, this.#echo);
    return this.#writer as StreamWriter;
  }

  get #meters(): ResponseMeters | undefined {
    this.#ownMeters ??= this.#provider.meters?.(this.#request, this.#options);
    return this.#ownMeters;
  }

  document(bytes: Uint8Array): Uint8Array | Failure {
    const answer = collectAnswer(this.#partsOf(bytes, this.unary.usage));
    return isFailure(answer) ? answer : this.#client.document(answer, this.#options, this.#echo);
  }

  streamOf(bytes: Uint8Array): Uint8Array {
    const { writer } = this;
    const facts = new AnswerFacts(this.#partsOf(bytes, this.unary.usage));
    const written = writer.write(bytes, 0, bytes.length, facts) === 'replace' ? writer.replacement : NOTHING;
    return Buffer.concat([written, writer.end?.() ?? NOTHING]);
  }

  error(status: number, bytes: Uint8Array, type?: string): ConvertedError {
    const error = this.#provider.readError(status, parsedJson(Buffer.from(bytes).toString()), type);
    const { dialect, overloadedStatus } = this.#client;
    const clientStatus = error.kind === 'unavailable' ? overloadedStatus : error.status;
    return {
      status: clientStatus,
      body: dialect.errorBody({ ...error, status: clientStatus, failure: true }),
      retryAfterMs: error.retryAfterMs,
    };
  }

  #partsOf(bytes: Uint8Array, usage: Usage | undefined): readonly AnswerPart[] {
    const parts = this.#provider.newDecoder().document(parsedJson(Buffer.from(bytes).toString()));
    const last = parts.at(-1);
    if (last === undefined) {
      return [{ type: 'error', failure: unreadableAnswer }];
    }
    return usage === undefined || last.type === 'error'
      ? parts
      : [...parts.slice(0, -1), { type: 'usage', usage }, last];
  }
}
