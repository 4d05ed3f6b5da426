/** Parses server-sent events as text, for tests below the SDKs. */
export interface SseEvent {
  readonly event: string | undefined;
  readonly data: string;
}

/**
 * Returns the events of a whole stream. Throws on bytes after the last blank line, which a proper
 * stream does not have.
 */
export function eventsOf(text: string): readonly SseEvent[] {
  const parts = text.split('\n\n');
  const rest = parts.pop();
  if (rest !== '') {
    throw new Error(`the stream ended inside an event: ${JSON.stringify(rest?.slice(-200))}`);
  }
  return parts.map((part) => {
    const lines = part.split('\n');
    const field = (name: string) =>
      lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).replace(/^ /, ''));
    return { event: field('event')[0], data: field('data').join('\n') };
  });
}

/** Returns the JSON of each event, without `[DONE]`. */
export function documentsOf(text: string): readonly Record<string, unknown>[] {
  return eventsOf(text)
    .filter((one) => one.data !== '' && one.data !== '[DONE]')
    .map((one) => JSON.parse(one.data));
}
