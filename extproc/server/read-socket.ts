/**
 * Reads sockets into one buffer that is used again for each read. By itself Node gives every read a buffer of its own: V8 counts those as old memory, and
 * at some thousand reads a second it marked its whole heap twelve times a second to find them (prompts of 60 KB; a fifth of the processor's time).
 */

import { Socket, type SocketConstructorOpts } from 'node:net';

/** What libuv asks for at once. */
const READ_BYTES = 64 * 1024;

/** One is enough: what was read is used up before anything else is read. */
const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);

/**
 * A socket in place of one that a server has accepted with `pauseOnConnect`. `receive` is given what was read, which stands there only until it returns.
 * Node takes a buffer of its user's only for a socket that the user makes.
 */
export function readSocket(accepted: Socket, receive: (bytes: Buffer) => void): Socket {
  // What `net.Server` itself makes its sockets of; no documentation names it.
  const holder = accepted as unknown as { _handle: SocketConstructorOpts['handle'] | null };
  const handle = holder._handle ?? undefined;
  if (handle === undefined) {
    throw new Error('sockets of this version of Node have no _handle');
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
  // The server counts it until then.
  socket.once('close', () => accepted.destroy());
  return socket;
}
