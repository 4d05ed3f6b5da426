/**
 * Writes bytes to a file descriptor and never blocks the event loop. A slow reader loses output and
 * takes bounded memory.
 */
import { fstatSync, write } from 'node:fs';
import { Socket } from 'node:net';

export interface Output {
  /**
   * Returns false if the bytes are dropped, because the reader is gone or too far behind. The bytes
   * must not change afterwards.
   */
  write(bytes: Uint8Array): boolean;
  /** Waits until everything is written, at most until the deadline. */
  close(deadlineMs: number): Promise<void>;
}

/**
 * Uses libuv's non-blocking writes for pipes and sockets, and the thread pool for files and
 * terminals, where only a disk can block a thread.
 */
export function openOutput(fd: number, maxUnwrittenBytes: number): Output {
  const stat = fstatSync(fd);
  return stat.isFIFO() || stat.isSocket() ? pipeOutput(fd, maxUnwrittenBytes) : fileOutput(fd, maxUnwrittenBytes);
}

function pipeOutput(fd: number, maxUnwrittenBytes: number): Output {
  const socket = new Socket({ fd, readable: false, writable: true });
  socket.unref();
  let broken = false;
  socket.on('error', () => {
    broken = true;
  });
  return {
    write(bytes) {
      if (broken || socket.writableLength + bytes.length > maxUnwrittenBytes) {
        return false;
      }
      socket.write(bytes);
      return true;
    },
    close: (deadlineMs) =>
      new Promise((resolve) => {
        if (broken || socket.writableLength === 0) {
          return resolve();
        }
        const timer = setTimeout(resolve, deadlineMs);
        const done = () => {
          clearTimeout(timer);
          resolve();
        };
        socket.once('drain', done);
        socket.once('error', done);
        // Runs after everything that is queued.
        socket.write('', done);
      }),
  };
}

function fileOutput(fd: number, maxUnwrittenBytes: number): Output {
  let waiting: Uint8Array[] = [];
  let unwrittenBytes = 0;
  let writing = false;
  let idle = () => {};
  const next = () => {
    if (waiting.length === 0) {
      writing = false;
      idle();
      return;
    }
    writing = true;
    const bytes = waiting.length === 1 ? waiting[0]! : Buffer.concat(waiting);
    waiting = [];
    writeAll(bytes, 0);
  };
  const writeAll = (bytes: Uint8Array, offset: number) => {
    write(fd, bytes, offset, bytes.length - offset, null, (error, written) => {
      // A full disk or a closed terminal loses this batch; the next batch tries again.
      if (error || offset + written >= bytes.length) {
        unwrittenBytes -= bytes.length;
        next();
      } else {
        writeAll(bytes, offset + written);
      }
    });
  };
  return {
    write(bytes) {
      if (unwrittenBytes > maxUnwrittenBytes) {
        return false;
      }
      waiting.push(bytes);
      unwrittenBytes += bytes.length;
      if (!writing) {
        next();
      }
      return true;
    },
    close: (deadlineMs) =>
      new Promise((resolve) => {
        if (!writing) {
          return resolve();
        }
        const timer = setTimeout(resolve, deadlineMs);
        idle = () => {
          clearTimeout(timer);
          resolve();
        };
      }),
  };
}
