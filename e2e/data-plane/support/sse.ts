/** Server-sent events as plain text, for tests that look below the SDKs. */
export interface SseEvent {
  readonly event: string | undefined;
  readonly data: string;
}

/** Events of a whole stream; fails on bytes after the last blank line, because a proper stream has none. */
export function eventsOf(text: string): readonly SseEvent[] {
  const parts = text.split('\n\n');
  const rest = parts.pop();
  if (rest !== '') {
    throw new Error(`the stream ends inside an event: ${JSON.stringify(rest?.slice(-200))}`);
  }
  return parts.map((part) => {
    const lines = part.split('\n');
    const field = (name: string) =>
      lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).replace(/^ /, ''));
    return { event: field('event')[0], data: field('data').join('\n') };
  });
}

/** The JSON of each event, without `[DONE]`. */
export function documentsOf(text: string): readonly Record<string, unknown>[] {
  return eventsOf(text)
    .filter((one) => one.data !== '' && one.data !== '[DONE]')
    .map((one) => JSON.parse(one.data));
}
