/**
 * HTTP to one detector: connections that stay open, and answers that are bounded in bytes and time.
 * A redirect is a fault: the policy names where texts go.
 */
import { Agent as HttpAgent, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { type DestinationGuard, guardedRequest, urlOf } from '../../../runtime/guarded-request.ts';
import { DetectorError } from './external-detector.ts';

export interface EndpointTls {
  /** CA certificates; absent: those of the system. */
  readonly caPem?: string | undefined;
  /** The client's own, with its key. */
  readonly certificatePem?: string | undefined;
  readonly privateKeyPem?: string | undefined;
}

export interface EndpointOptions {
  readonly url: string;
  readonly tls?: EndpointTls | undefined;
  readonly guard: DestinationGuard;
}

export interface ServiceQuestion {
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The most bytes of an answer. */
  readonly maxAnswerBytes: number;
}

/** Requests in flight to one detector; others wait for a connection. */
const MAX_CONNECTIONS = 32;
/** Connections without a request end after this time. */
const KEEP_ALIVE_MS = 30_000;

const headersOfAll = {
  'content-type': 'application/json; charset=utf-8',
  accept: 'application/json',
};

/** Returns whether a detector with this status may answer the next request. */
const isTemporary = (status: number) => status === 408 || status === 429 || status >= 500;

export class DetectorEndpoint {
  readonly #url: URL;
  readonly #agent: HttpAgent;
  readonly #guard: DestinationGuard;

  constructor({ url, tls, guard }: EndpointOptions) {
    this.#url = urlOf(url);
    this.#guard = guard;
    const limits = { keepAlive: true, maxSockets: MAX_CONNECTIONS, timeout: KEEP_ALIVE_MS };
    this.#agent =
      this.#url.protocol === 'https:'
        ? new HttpsAgent({ ...limits, ca: tls?.caPem, cert: tls?.certificatePem, key: tls?.privateKeyPem })
        : new HttpAgent(limits);
  }

  /** Returns the parsed answer. Rejects with a `DetectorError`, or the reason of the signal. */
  async post({ body, headers, maxAnswerBytes }: ServiceQuestion, signal: AbortSignal): Promise<unknown> {
    const sent = {
      method: 'POST',
      headers: { ...headersOfAll, 'content-length': Buffer.byteLength(body), ...headers },
      body,
      agent: this.#agent,
    } as const;
    try {
      const answer = await guardedRequest(this.#url, sent, this.#guard, signal);
      return parsed(await bodyOf(answer, maxAnswerBytes));
    } catch (error) {
      throw signal.aborted ? signal.reason : error instanceof DetectorError ? error : unreachable(error);
    }
  }

  close(): void {
    this.#agent.destroy();
  }
}

async function bodyOf(answer: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const fault = faultOf(answer);
  if (fault !== undefined) {
    answer.on('error', () => {}).destroy();
    throw fault;
  }
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > maxBytes) {
      throw new DetectorError('bad_response', `the answer of the detector exceeds ${maxBytes} bytes`);
    }
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function faultOf({ statusCode = 0, headers }: IncomingMessage): DetectorError | undefined {
  if (statusCode !== 200) {
    const failure = isTemporary(statusCode) ? 'unavailable' : 'bad_response';
    return new DetectorError(failure, `the detector answers with status ${statusCode}`);
  }
  // A compressed answer could be longer than its bytes tell.
  return (headers['content-encoding'] ?? 'identity') === 'identity'
    ? undefined
    : new DetectorError('bad_response', 'the answer of the detector is compressed');
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new DetectorError('bad_response', 'the answer of the detector is not JSON');
  }
}

/** Has a code of Node only: other messages may contain what the detector sent. */
function unreachable(error: unknown): DetectorError {
  const { code, message } = error as NodeJS.ErrnoException;
  return new DetectorError('unavailable', `the detector cannot be reached (${code ?? message})`);
}
