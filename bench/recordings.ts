/**
 * Reads recordings of real providers, if present: the response without its usage, and the usage.
 */
import { type AnyJson, documentsOf, type RecordedExchange, reportedUsage } from '../fixtures/exchange.ts';
import { recordings as exchanges } from '../fixtures/recordings.ts';

const USAGE_KEYS: ReadonlySet<string> = new Set(['usage', 'x_groq']);

export interface ReplayRecording {
  readonly name: string;
  readonly path: string;
  readonly stream: boolean;
  readonly request: AnyJson;
  /** The response as the provider would have sent it without usage. */
  readonly answer: string;
  readonly output: number;
  /** The part of `output` that is billed but not in the response. */
  readonly hidden: number;
  /** Absent if the recording does not contain the request. */
  readonly input?: number;
}

/** Returns the recordings that report usage; an empty list without recordings. */
export function recordings(): readonly ReplayRecording[] {
  return exchanges()
    .filter(({ path, status }) => status === 200 && path !== '/v1/embeddings')
    .flatMap(recording);
}

function recording(exchange: RecordedExchange): readonly ReplayRecording[] {
  const { name, path, stream, request } = exchange;
  const usage = reportedUsage(exchange);
  if (usage === undefined || usage.output === 0) {
    return [];
  }
  const kept = documentsOf(exchange)
    .map(withoutUsage)
    .filter((document) => !isEmpty(document));
  const answer = stream ? kept.map((document) => event(path, document)).join('') : JSON.stringify(kept[0]);
  const shown = /"(reasoning_content|reasoning|thinking)":\s*"[^"]/.test(answer);
  return [
    {
      name,
      path,
      stream,
      output: usage.output,
      request: request === undefined ? hello(exchange) : JSON.parse(request),
      answer: stream && path.endsWith('/completions') ? `${answer}data: [DONE]\n\n` : answer,
      hidden: shown ? 0 : usage.reasoning,
      ...(request !== undefined && { input: usage.input }),
    },
  ];
}

function hello(exchange: RecordedExchange): AnyJson {
  const { path, stream } = exchange;
  const first = documentsOf(exchange)[0];
  const model = first.model ?? first.message?.model ?? first.response?.model;
  if (path === '/v1/responses') {
    return { model, stream, input: 'Hello' };
  }
  const messages = [{ role: 'user', content: 'Hello' }];
  return { model, stream, messages, ...(path === '/v1/messages' && { max_tokens: 20_000 }) };
}

function event(path: string, document: AnyJson): string {
  const named = !path.endsWith('/completions');
  return `${named ? `event: ${document.type}\n` : ''}data: ${JSON.stringify(document)}\n\n`;
}

/** The chunk that OpenAI sends only for usage. */
function isEmpty({ choices, object }: AnyJson): boolean {
  return Array.isArray(choices) && choices.length === 0 && String(object).endsWith('chunk');
}

function withoutUsage(value: AnyJson): AnyJson {
  if (Array.isArray(value)) {
    return value.map(withoutUsage);
  }
  if (typeof value !== 'object' || value === null) {
    return value;
  }
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !USAGE_KEYS.has(key))
      .map(([key, member]) => [key, withoutUsage(member)]),
  );
}
