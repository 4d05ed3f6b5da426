/** Reads the document that answers a converted request, and writes it for the client. */
import type { Failure } from '../../errors.ts';
import { AbsentStream } from '../../providers/absent-stream.ts';
import type {
  ConvertedError,
  EventReader,
  ResponseAdapter,
  ResponseConversion,
  ResponseOptions,
  StreamWriter,
  UnaryReader,
} from '../../providers/adapter.ts';
import type { Usage } from '../../usage.ts';
import { unreadableAnswer } from '../failures.ts';
import { parsedJson } from '../json-values.ts';
import type { DecodedDocument, DocumentClient, DocumentProvider } from './documents.ts';

const SERVICE_UNAVAILABLE = 503;

export class DocumentAnswer<Asked, Kept, Told> implements ResponseAdapter, ResponseConversion {
  readonly dropped: readonly string[];
  readonly unary: DocumentMeter<Told>;
  readonly #client: DocumentClient<Asked, Kept, Told>;
  readonly #provider: DocumentProvider<Asked, Kept, Told>;
  readonly #kept: Kept;
  readonly #options: ResponseOptions;
  #stream: AbsentStream | undefined;

  constructor(
    client: DocumentClient<Asked, Kept, Told>,
    provider: DocumentProvider<Asked, Kept, Told>,
    kept: Kept,
    options: ResponseOptions,
    dropped: readonly string[],
  ) {
    this.#client = client;
    this.#provider = provider;
    this.#kept = kept;
    this.#options = options;
    this.dropped = dropped;
    this.unary = new DocumentMeter();
  }

  get conversion(): ResponseConversion {
    return this;
  }

  get reader(): EventReader {
    return this.#absent;
  }

  get writer(): StreamWriter {
    return this.#absent;
  }

  get #absent(): AbsentStream {
    this.#stream ??= new AbsentStream(this.#client.dialect);
    return this.#stream;
  }

  document(bytes: Uint8Array): Uint8Array | Failure {
    const decoded = this.#provider.decode(parsedJson(Buffer.from(bytes).toString()), this.#kept);
    this.unary.take(decoded);
    if (decoded === undefined) {
      return unreadableAnswer;
    }
    const { told, usage, priceUnits } = decoded;
    const inputTokens = usage?.input ?? this.#options.inputTokens?.() ?? 0;
    const details = { options: this.#options, inputTokens, priceUnits };
    return Buffer.from(JSON.stringify(this.#client.document(told, this.#kept, details)));
  }

  /** No client of such an API asks for a stream. */
  streamOf(): Uint8Array {
    return this.#client.dialect.errorBody(unreadableAnswer);
  }

  error(status: number, bytes: Uint8Array, type?: string): ConvertedError {
    const error = this.#provider.readError(status, parsedJson(Buffer.from(bytes).toString()), type);
    return {
      status: error.kind === 'unavailable' ? SERVICE_UNAVAILABLE : error.status,
      body: this.#client.dialect.errorBody({ ...error, failure: true }),
      retryAfterMs: error.retryAfterMs,
    };
  }
}

/** Knows what the document says once it is converted. */
class DocumentMeter<Told> implements UnaryReader {
  readonly responseModel = undefined;
  readonly serviceTier = undefined;
  broken = false;
  usage: Usage | undefined;
  priceUnits: number | undefined;

  push(): void {}

  release(): void {}

  take(decoded: DecodedDocument<Told> | undefined): void {
    this.usage = decoded?.usage;
    this.priceUnits = decoded?.priceUnits;
    this.broken = decoded === undefined;
  }
}
