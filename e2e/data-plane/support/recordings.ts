/**
 * Provider responses as bytes on the wire with their usage: the repository's fixtures, and
 * recordings if present.
 */
import { type AnyJson, documentsOf, type RecordedExchange, reportedUsage } from '../../../fixtures/exchange.ts';

export interface RecordedUsage {
  readonly input: number;
  readonly output: number;
}

export interface Recording {
  readonly name: string;
  readonly path: string;
  readonly status: number;
  readonly stream: boolean;
  readonly request: Readonly<Record<string, unknown>>;
  readonly answer: Buffer;
  /** Absent if the provider reported none. */
  readonly usage: RecordedUsage | undefined;
}

/** Converts an exchange into one that can be sent and compared. */
export function recording(exchange: RecordedExchange): Recording {
  const { name, path, status, stream } = exchange;
  // Usage that a stream reported before it failed is not its usage.
  const usage = stream && name.includes('error') ? undefined : reportedUsage(exchange);
  return {
    name,
    path,
    status,
    stream,
    request: requestOf(exchange),
    answer: Buffer.from(exchange.answer),
    usage: usage && { input: usage.input, output: usage.output },
  };
}

function requestOf(exchange: RecordedExchange): Readonly<Record<string, unknown>> {
  const { path, stream } = exchange;
  const asksForUsage = stream && path.endsWith('/completions') && { stream_options: { include_usage: true } };
  if (exchange.request === undefined) {
    const first = documentsOf(exchange)[0];
    const model = first.model ?? first.message?.model ?? first.response?.model ?? 'unknown';
    const asked = path === '/v1/responses' ? { input: 'Hello' } : { messages: [{ role: 'user', content: 'Hello' }] };
    return { model, stream, ...asked, ...(path === '/v1/messages' && { max_tokens: 20_000 }), ...asksForUsage };
  }
  const sent: AnyJson = JSON.parse(exchange.request);
  // One recorded request was wrong on purpose; the gateway refuses it.
  return { ...sent, ...(sent.max_tokens === 0 && { max_tokens: 1 }), ...asksForUsage };
}

/** Returns the same response from a provider without usage. */
export function withoutUsage(recording: Recording): Recording {
  const text = recording.answer.toString();
  const answer = recording.stream
    ? text
        .split('\n\n')
        .filter((event) => !/"choices":\[\]/.test(event))
        .join('\n\n')
    : JSON.stringify({ ...JSON.parse(text), usage: undefined });
  return { ...recording, name: `${recording.name} without usage`, answer: Buffer.from(answer), usage: undefined };
}

/** Returns the text of each choice of a chat or completion. */
export function visibleTexts({ answer, stream }: Recording): readonly string[] {
  const documents = documentsOf({ answer: answer.toString(), stream });
  const texts = new Map<number, string>();
  for (const { index, text, delta, message } of documents.flatMap((document) => document.choices ?? [])) {
    const more = text ?? (delta ?? message)?.content ?? '';
    texts.set(index, (texts.get(index) ?? '') + more);
  }
  return [...texts.values()];
}
