import type http from 'node:http';
import zlib from 'node:zlib';
import { newRandom } from '../../../tools/fuzz/random.ts';
import type { Behaviour } from './behaviour.ts';
import { roomIn } from './flow.ts';
import { mixedAnswers } from './hostile/answers.ts';
import type { Seen } from './seen.ts';

const PIECE = 'x'.repeat(65_536);
const ENDLESS_BYTES = 48 << 20;
const BOMB_BYTES = 64 << 20;
const MEGABYTE = 1_000_000;

/**
 * Responses that no honest provider sends. They end only when the reader closes, or at a bound far
 * beyond what any gateway should buffer.
 */
export async function sendHostile(
  response: http.ServerResponse,
  record: Seen,
  kind: NonNullable<Behaviour['hostile']>,
  stream: boolean,
  seed = 1,
): Promise<void> {
  if (kind in mixedAnswers) {
    return mixedAnswers[kind as keyof typeof mixedAnswers](response, record, stream, newRandom(seed));
  }
  const type = { 'content-type': stream ? 'text/event-stream' : 'application/json' };
  if (kind === 'megabyte-event') {
    const text = 'x'.repeat(MEGABYTE);
    record.answer = `data: ${JSON.stringify({ id: 'mock', object: 'chat.completion.chunk', model: 'mock', choices: [{ index: 0, delta: { content: text }, finish_reason: 'stop' }] })}\n\ndata: [DONE]\n\n`;
    record.outputTokens = text.length;
    record.endedAtMs = performance.now();
    response.writeHead(200, type).end(record.answer);
    return;
  }
  if (kind === 'compressed-bomb') {
    record.endedAtMs = performance.now();
    response.writeHead(200, { ...type, 'content-encoding': 'gzip' }).end(bomb(stream));
    return;
  }
  response.writeHead(200, type);
  response.write('data: {"choices":[{"index":0,"delta":{"content":"');
  await pour(response, response, ENDLESS_BYTES);
  if (response.destroyed) {
    return;
  }
  record.endedAtMs = performance.now();
  response.end();
}

async function pour(response: http.ServerResponse, to: NodeJS.WritableStream & NodeJS.EventEmitter, bytes: number) {
  for (let sent = 0; sent < bytes && !response.destroyed; sent += PIECE.length) {
    if (!to.write(PIECE)) {
      await roomIn(to);
    }
  }
}

const bombs = new Map<boolean, Buffer>();

/** Built in advance, because compression takes a while. */
export function bomb(stream: boolean): Buffer {
  const [before, after] = stream
    ? ['data: {"choices":[{"index":0,"delta":{"content":"', '"}}]}\n\ndata: [DONE]\n\n']
    : ['{"choices":[{"message":{"content":"', '"}}]}'];
  const made =
    bombs.get(stream) ??
    zlib.gzipSync(Buffer.concat([Buffer.from(before), Buffer.alloc(BOMB_BYTES, 'x'), Buffer.from(after)]));
  bombs.set(stream, made);
  return made;
}
