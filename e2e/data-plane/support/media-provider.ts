/**
 * A provider of images, audio, rerankings and Cohere's API, whose responses are always the same:
 * what a request says does not change them.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';

export interface MediaRequest {
  readonly path: string;
  readonly contentType: string;
  readonly authorization: string | undefined;
  readonly body: Buffer;
}

export interface MediaProvider {
  readonly port: number;
  readonly seen: MediaRequest[];
  stop(): Promise<void>;
}

export const PNG = Buffer.from('iVBORw0KGgo=', 'base64');

/** Begins like a server-sent event, as any bytes may. */
export const AUDIO = Buffer.concat([Buffer.from('data'), Buffer.alloc(5_000, 7)]);

const IMAGE = { b64_json: PNG.toString('base64') };
const IMAGE_USAGE = { input_tokens: 12, output_tokens: 272, total_tokens: 284 };
const AUDIO_USAGE = {
  type: 'tokens',
  input_tokens: 30,
  input_token_details: { text_tokens: 2, audio_tokens: 28 },
  output_tokens: 4,
  total_tokens: 34,
};

const cohereUsage = { billed_units: { input_tokens: 11, output_tokens: 2 }, tokens: { input_tokens: 60 } };

const documents: Readonly<Record<string, object>> = {
  '/v1/images/generations': { created: 0, data: [IMAGE], usage: IMAGE_USAGE },
  '/v1/images/edits': { created: 0, data: [IMAGE, IMAGE], usage: IMAGE_USAGE },
  '/v1/audio/transcriptions': { text: 'Hello there.', usage: AUDIO_USAGE },
  '/v1/audio/translations': { text: 'Hello there.', usage: { type: 'duration', seconds: 3 } },
  '/v1/moderations': { id: 'm', model: 'omni-moderation-latest', results: [{ flagged: false }] },
  '/v1/rerank': { id: 'r', results: [{ index: 0, relevance_score: 0.9 }], usage: { total_tokens: 21 } },
  '/v2/rerank': { id: 'r', results: [{ index: 1, relevance_score: 0.9 }], meta: { billed_units: { search_units: 2 } } },
  '/v2/embed': { id: 'e', embeddings: { float: [[0.5, -0.25]] }, meta: { billed_units: { input_tokens: 5 } } },
  '/v2/chat': {
    id: 'c',
    finish_reason: 'COMPLETE',
    message: { role: 'assistant', content: [{ type: 'text', text: 'Hello there.' }] },
    usage: cohereUsage,
  },
};

const streams: Readonly<Record<string, readonly { readonly type: string; readonly [member: string]: unknown }[]>> = {
  '/v1/images/generations': [
    // Longer than what the gateway keeps of an event.
    { type: 'image_generation.partial_image', partial_image_index: 0, b64_json: 'A'.repeat(300_000) },
    { type: 'image_generation.completed', ...IMAGE, usage: IMAGE_USAGE },
  ],
  '/v1/audio/transcriptions': [
    { type: 'transcript.text.delta', delta: 'Hello there.' },
    { type: 'transcript.text.done', text: 'Hello there.', usage: AUDIO_USAGE },
  ],
  '/v2/chat': [
    { type: 'message-start', id: 'c', delta: { message: { role: 'assistant' } } },
    { type: 'content-start', index: 0, delta: { message: { content: { type: 'text', text: '' } } } },
    { type: 'content-delta', index: 0, delta: { message: { content: { text: 'Hello there.' } } } },
    { type: 'content-end', index: 0 },
    { type: 'message-end', delta: { finish_reason: 'COMPLETE', usage: cohereUsage } },
  ],
};

export async function startMediaProvider(): Promise<MediaProvider> {
  const seen: MediaRequest[] = [];
  const server = http.createServer(async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) {
      pieces.push(piece as Buffer);
    }
    const body = Buffer.concat(pieces);
    const path = request.url ?? '';
    const { 'content-type': contentType = '', authorization } = request.headers;
    seen.push({ path, contentType, authorization, body });
    if (path === '/v1/audio/speech') {
      response.writeHead(200, { 'content-type': 'audio/mpeg' }).end(AUDIO);
      return;
    }
    const events = asksForStream(body) ? streams[path] : undefined;
    if (events === undefined) {
      const document = JSON.stringify(documents[path] ?? { message: 'not found' });
      response.writeHead(path in documents ? 200 : 404, { 'content-type': 'application/json' }).end(document);
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join(''));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function asksForStream(body: Buffer): boolean {
  const text = body.toString('latin1');
  return /"stream":\s*true/.test(text) || /name="stream"\r\n\r\ntrue/.test(text);
}
