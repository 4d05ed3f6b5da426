/**
 * How one provider API of the mock provider reads a request and writes a response: the bytes of the
 * real API with invented text.
 */

/** What a request asks for. */
export interface MockRequest {
  readonly model: string;
  readonly stream: boolean;
  readonly bound: number | undefined;
  readonly choices: number;
  readonly usage: boolean;
  /** The name of the first tool. */
  readonly tool: string | undefined;
  /** Embeddings: numbers as one base64 string, as the official client requests. */
  readonly base64?: boolean;
  /** All text of the prompt. */
  readonly texts: readonly string[];
  /** Tokens around the text. */
  readonly overheadTokens: number;
}

/** What is sent. `made` grows during a stream. */
export interface MockAnswer {
  readonly id: string;
  readonly model: string;
  readonly choices: number;
  readonly inputTokens: number;
  readonly hiddenTokens: number;
  /** Reports usage. */
  readonly usage: boolean;
  readonly tool: string | undefined;
  readonly base64: boolean;
  readonly padding: string;
  readonly serviceTier: string | undefined;
  readonly reason: 'stop' | 'length' | 'tool';
  /** Visible tokens of each choice at the end. */
  readonly tokens: number;
  /** The text that is echoed. */
  readonly echoed?: string | undefined;
  /** The text of one choice at the end. */
  readonly text: string;
}

export interface MockDialect {
  readonly paths: readonly string[];
  /** Whether a path that has parameters is one of this API. */
  readonly matches?: (path: string) => boolean;
  read(body: Readonly<Record<string, unknown>>, path: string): MockRequest;
  whole(answer: MockAnswer): unknown;
  opening(answer: MockAnswer): string;
  delta(answer: MockAnswer, choice: number, text: string, index: number): string;
  closing(answer: MockAnswer): string;
  error(status: number): unknown;
  headers?(answer: MockAnswer): Readonly<Record<string, string>>;
  /** The content type of streams that are bytes; their text has one character a byte. */
  readonly binaryType?: string;
}

/** Returns every string in a value, at any depth. */
export function textsIn(value: unknown): string[] {
  if (typeof value === 'string') {
    return [value];
  }
  if (Array.isArray(value)) {
    return value.flatMap(textsIn);
  }
  if (value !== null && typeof value === 'object') {
    return Object.values(value).flatMap(textsIn);
  }
  return [];
}

export function asNumber(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

export function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? { ...value } : {};
}

export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function data(event: unknown): string {
  return `data: ${JSON.stringify(event)}\n\n`;
}

/** Writes an event with the `event:` line that Anthropic and the Responses API send. */
export function named(event: { readonly type: string; readonly [member: string]: unknown }): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}

export function openaiError(status: number): unknown {
  const type = status === 429 ? 'rate_limit_error' : status >= 500 ? 'server_error' : 'invalid_request_error';
  return { error: { message: `mock provider error ${status}`, type, param: null, code: `mock_${status}` } };
}

/** Returns the JSON arguments of a tool call around the words of the response. */
export const TOOL_ARGUMENTS = { before: '{"location":"', after: '"}' } as const;

export function toolArguments(answer: MockAnswer): string {
  return TOOL_ARGUMENTS.before + answer.text + TOOL_ARGUMENTS.after;
}
