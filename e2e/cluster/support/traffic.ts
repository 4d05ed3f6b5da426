/**
 * Steady traffic through a Gateway during a change: JSON requests on persistent connections, and
 * streams of a known length. Nothing is retried, so that every failure that a client would see
 * counts.
 */
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { CLIENT_KEY, mock, openaiClient, say } from '../../data-plane/support/clients.ts';
import { wordsOf } from '../../data-plane/support/words.ts';

const REQUEST_TIMEOUT_MS = 15_000;
const TOKENS = 5;
const CHUNKS_A_SECOND = 10;
const MAX_FAILURES_SHOWN = 20;

export interface TrafficOptions {
  readonly url: string;
  readonly model: string;
  readonly connections?: number;
  readonly requestsASecond?: number;
}

export interface Traffic {
  /** The number of complete responses. */
  readonly answered: number;
  /** The number of complete streams. */
  readonly streamed: number;
  readonly failures: readonly string[];
  /** The tokens that clients received in responses and streams. */
  readonly outputTokens: number;
  /** Starts a stream of this duration; resolves when it has begun. */
  stream(seconds: number): Promise<void>;
  /** Adds this text to the failures from now on. */
  during(what: string): void;
  /** Starts no new requests, and waits for those in flight. */
  stop(): Promise<void>;
}

export function startTraffic(options: TrafficOptions): Traffic {
  const { url, model, connections = 10, requestsASecond = 50 } = options;
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const startedAtMs = performance.now();
  const failures: string[] = [];
  const streams = new Set<Promise<void>>();
  let answered = 0;
  let streamed = 0;
  let outputTokens = 0;
  let phase = 'at the beginning';
  let stopped = false;

  const counted = async (what: string, tokens: number, work: () => Promise<void>): Promise<boolean> => {
    try {
      await work();
      outputTokens += tokens;
      return true;
    } catch (error) {
      const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
      failures.push(`${what}, ${phase}, ended ${seconds} s after the beginning: ${String(error)}`);
      return false;
    }
  };
  const client = async (index: number) => {
    const everyMs = (1000 * connections) / requestsASecond;
    let dueMs = startedAtMs + (everyMs * index) / connections;
    while (!stopped) {
      // A late request does not catch up, so that the rate is bounded.
      dueMs = Math.max(dueMs + everyMs, performance.now());
      await sleep(Math.max(0, dueMs - performance.now()));
      if (await counted('request', TOKENS, () => ask(agent, url, model))) {
        answered++;
      }
    }
  };
  const clients = Array.from({ length: connections }, (_, index) => client(index));
  return {
    get answered() {
      return answered;
    },
    failures,
    get streamed() {
      return streamed;
    },
    get outputTokens() {
      return outputTokens;
    },
    stream(seconds) {
      const tokens = seconds * CHUNKS_A_SECOND;
      return new Promise((begun) => {
        const whole = counted(`stream of ${seconds} s`, tokens, () => follow(url, model, tokens, begun));
        const ended = whole.then((good) => {
          if (good) {
            streamed++;
          }
          streams.delete(ended);
          begun();
        });
        streams.add(ended);
      });
    },
    during(what) {
      phase = what;
    },
    async stop() {
      stopped = true;
      await Promise.all([...clients, ...streams]);
      agent.destroy();
    },
  };
}

/** Returns a summary with the first failures only. */
export function shown({ answered, failures }: Traffic): string {
  return [`${failures.length} failed, ${answered} answered`, ...failures.slice(0, MAX_FAILURES_SHOWN)].join('\n');
}

type Headers = Readonly<Record<string, string>>;

async function ask(agent: http.Agent, url: string, model: string): Promise<void> {
  const { status, body } = await post(agent, `${url}/v1/chat/completions`, {
    headers: { ...mock({ tokens: TOKENS }).headers, authorization: `Bearer ${CLIENT_KEY}` },
    body: JSON.stringify({ model, messages: say('Hello'), max_completion_tokens: TOKENS }),
  });
  if (status !== 200) {
    throw new Error(`${status} ${body}`);
  }
  const content = JSON.parse(body).choices[0].message.content;
  if (content !== wordsOf(TOKENS)) {
    throw new Error(`another answer: ${content}`);
  }
}

interface Answer {
  readonly status: number | undefined;
  readonly body: string;
}

function post(
  agent: http.Agent,
  url: string,
  { headers, body }: { readonly headers: Headers; readonly body: string },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const more = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) };
    const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
    const request = http.request(url, { method: 'POST', agent, signal, headers: { ...headers, ...more } });
    request.on('error', reject);
    request.on('response', (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(pieces).toString() }));
    });
    request.end(body);
  });
}

async function follow(url: string, model: string, tokens: number, begun: () => void): Promise<void> {
  const request = { model, messages: say('Hello'), stream_options: { include_usage: true } };
  const stream = openaiClient(url).chat.completions.stream(request, mock({ tokens, paceMs: 1000 / CHUNKS_A_SECOND }));
  stream.once('chunk', begun);
  const final = await stream.finalChatCompletion();
  const content = final.choices[0]?.message.content ?? '';
  if (content !== wordsOf(tokens)) {
    throw new Error(`${content.length} characters in place of ${wordsOf(tokens).length}`);
  }
  if (final.usage?.completion_tokens !== tokens) {
    throw new Error(`told ${final.usage?.completion_tokens} of ${tokens}`);
  }
}
