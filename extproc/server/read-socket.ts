/**
 * Reads all sockets into one reused buffer. By default Node allocates a buffer for each read. V8
 * counts those as old memory: at some thousand reads a second of 60 KB prompts it marked its whole
 * heap twelve times a second, a fifth of the processor's time.
 */

import { Socket, type SocketConstructorOpts } from 'node:net';

/** The read size of libuv. */
export const READ_BYTES: number = 64 * 1024;

/** One buffer is enough: each read is used up before the next one. */
const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);

/** Throws if this version of Node lacks what `readSocket` relies on. Call once, at start-up. */
export function checkReadSocketSupport(): void {
  if (!('_handle' in new Socket())) {
    throw new Error(`Node ${process.version} is not supported: net.Socket has no _handle. Use Node 24.`);
  }
}

/**
 * Returns a socket that replaces one accepted with `pauseOnConnect`. `receive` gets each read,
 * valid until it returns. Node accepts a user's buffer only for sockets that the user creates.
 */
export function readSocket(accepted: Socket, receive: (bytes: Buffer) => void): Socket {
  // `net.Server` creates its sockets from this undocumented handle.
  const holder = accepted as unknown as { _handle: SocketConstructorOpts['handle'] | null };
  const handle = holder._handle ?? undefined;
  if (handle === undefined) {
    throw new Error('accepted socket without a handle');
  }
  const socket = new Socket({
    handle,
    onread: {
      buffer: readBuffer,
      callback(length) {
        receive(readBuffer.subarray(0, length));
        return true;
      },
    },
  });
  holder._handle = null;
  // The server counts the accepted socket until it is destroyed.
  socket.once('close', () => accepted.destroy());
  return socket;
}
