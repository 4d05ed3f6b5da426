/** What the tests of the streams of each provider share: the clients, and where a stream ends. */
import assert from 'node:assert/strict';
import type { ProviderApi } from '../../contract/policy.ts';
import type { ResponseAdapter } from '../providers/adapter.ts';
import { eventsOf } from '../providers/testing/recordings.ts';
import { textUsage } from '../usage.ts';
import { convertedCase, convertedStream } from './testing.ts';
import { readByAnthropic, readByOpenAi, readByResponses } from './testing-clients.ts';

const messages = [{ role: 'user', content: 'Hi' }];

/** Requests for streams, how the official clients read them, and what ends them. */
export const streamClients = {
  chat: {
    request: { model: 'm', messages, stream: true, stream_options: { include_usage: true } },
    read: readByOpenAi,
    ending: /data: \[DONE\]\n\n$/,
  },
  messages: {
    request: { model: 'm', max_tokens: 100, messages, stream: true },
    read: readByAnthropic,
    ending: /event: (message_stop|error)\ndata: .*\n\n$/,
  },
  responses: {
    request: { model: 'm', input: messages, stream: true },
    read: readByResponses,
    ending: /event: (response\.(completed|incomplete|failed)|error)\ndata: .*\n\n$/,
  },
} as const;

export type StreamClient = keyof typeof streamClients;

export const streamClientNames = Object.keys(streamClients) as readonly StreamClient[];

/** Returns the adapter of a new stream for a client. */
export function streamAdapter(client: StreamClient, providerApi: ProviderApi, model: string): ResponseAdapter {
  const body = JSON.stringify(streamClients[client].request);
  const made = convertedCase({ client, providerApi, model, body });
  assert.ok(typeof made !== 'string', String(made));
  return made.newAdapter();
}

/** Returns what a client has of a stream whose end has not come. */
export function sentSoFar({ reader, writer }: ResponseAdapter, bytes: Uint8Array): string {
  let sent = '';
  for (const [start, end] of eventsOf(bytes)) {
    const facts = reader.read(bytes, start, end, { text() {} });
    sent += writer.write(bytes, start, end, facts) === 'replace' ? Buffer.from(writer.replacement).toString() : '';
  }
  return sent;
}

/** Returns what a client gets of a stream that a budget ends after these events. */
export function endedByBudget(adapter: ResponseAdapter, bytes: Uint8Array): string {
  return sentSoFar(adapter, bytes) + Buffer.from(adapter.writer.truncate(textUsage(30, 5))).toString();
}

export function assertSameAtEachCut(newAdapter: () => ResponseAdapter, bytes: Buffer): void {
  const whole = convertedStream(newAdapter(), [bytes]);
  for (let cut = 1; cut < bytes.length; cut++) {
    const pieces = [bytes.subarray(0, cut), bytes.subarray(cut)].map((each) => Buffer.from(each));
    assert.equal(convertedStream(newAdapter(), pieces), whole, `cut at ${cut}`);
  }
}

/** The provider or a budget may end a stream after each of its events. `text` is all it says. */
export async function assertEndsProperly(
  client: StreamClient,
  newAdapter: () => ResponseAdapter,
  bytes: Buffer,
  text: string,
): Promise<void> {
  const { read, ending } = streamClients[client];
  for (const [, end] of eventsOf(bytes)) {
    const begun = bytes.subarray(0, end);
    const body = convertedStream(newAdapter(), [begun]);
    assert.match(body, ending);
    const failed = /before the response was complete/.test(body);
    const answer = await read(body, true).catch((error: unknown) => error);
    assert.equal(answer instanceof Error, failed, String(answer));
    const cut = await read(endedByBudget(newAdapter(), begun), true);
    assert.ok(text.startsWith(cut.text));
  }
}
