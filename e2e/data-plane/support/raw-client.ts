/** Sends bytes over a socket that no HTTP library would send. */
import net from 'node:net';
import { closeOf, roomIn } from './flow.ts';
import { noteRawRequest } from './leaks/requests.ts';
import { within } from './wait.ts';

export interface RawCall {
  readonly socket: net.Socket;
  /** Returns what has arrived. */
  text(): string;
  status(): number | undefined;
  /** False once the peer has closed. */
  write(bytes: string | Uint8Array): Promise<boolean>;
  readonly closed: Promise<void>;
}

/** With `reads: false`, never reads from the socket. */
export async function rawCall(port: number, { reads = true } = {}): Promise<RawCall> {
  const socket = net.connect(port, '127.0.0.1');
  let received = '';
  if (reads) {
    socket.on('data', (piece) => {
      if (received.length < 1 << 20) {
        received += piece.toString('latin1');
      }
    });
  }
  socket.on('error', () => {});
  const closed = closeOf(socket);
  await within(5_000, 'connecting', new Promise((resolve) => socket.once('connect', resolve)));
  return {
    socket,
    text: () => received,
    status: () => {
      const match = received.match(/^HTTP\/1\.1 (\d{3})/);
      return match === null ? undefined : Number(match[1]);
    },
    write: async (bytes) => {
      noteRawRequest(Buffer.from(bytes as Uint8Array).toString('latin1'));
      if (socket.destroyed || !socket.writable) {
        return false;
      }
      if (!socket.write(bytes)) {
        await roomIn(socket);
      }
      return !socket.destroyed;
    },
    closed,
  };
}

/** Returns the head of a POST with the given lines. */
export function head(path: string, lines: readonly string[]): string {
  return [`POST ${path} HTTP/1.1`, 'host: localhost', 'content-type: application/json', ...lines, '', ''].join('\r\n');
}
