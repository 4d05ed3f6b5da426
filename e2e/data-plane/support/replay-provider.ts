/** Serves recordings unchanged (header `x-recording`), in pieces that do not match the events. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import zlib from 'node:zlib';
import type { Recording } from './recordings.ts';

const PIECE_BYTES = 211;

export interface ReplayProvider {
  readonly port: number;
  stop(): Promise<void>;
}

export async function startReplayProvider(recordings: readonly Recording[]): Promise<ReplayProvider> {
  const byName = new Map(recordings.map((recording) => [recording.name, recording]));
  const server = http.createServer(async (request, response) => {
    request.resume();
    const recording = byName.get(String(request.headers['x-recording']));
    if (recording === undefined) {
      response.writeHead(404).end();
      return;
    }
    const encoding = request.headers['x-encoding'];
    const compressed = typeof encoding === 'string';
    const bytes = compressed ? compress(encoding, recording.answer) : recording.answer;
    response.writeHead(recording.status, {
      'content-type': recording.stream ? 'text/event-stream' : 'application/json',
      ...(compressed && { 'content-encoding': encoding }),
      ...(!recording.stream && { 'content-length': String(bytes.length) }),
    });
    for (let at = 0; at < bytes.length && !response.destroyed; at += PIECE_BYTES) {
      response.write(bytes.subarray(at, at + PIECE_BYTES));
      await nextTurn();
    }
    response.end();
  });
  server.keepAliveTimeout = 600_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export function compress(encoding: string, bytes: Buffer): Buffer {
  if (encoding === 'gzip') {
    return zlib.gzipSync(bytes);
  }
  if (encoding === 'br') {
    return zlib.brotliCompressSync(bytes);
  }
  return zlib.zstdCompressSync(bytes);
}
