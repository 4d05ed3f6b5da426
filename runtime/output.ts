/**
 * Bytes to a file descriptor without ever holding the event loop: a reader that does not read costs
 * what it did not read, and bounded memory.
 */
import { fstatSync, write } from 'node:fs';
import { Socket } from 'node:net';

export interface Output {
  /**
   * False: they were not taken, since the reader is too far behind or gone. They must not change
   * after it.
   */
  write(bytes: Uint8Array): boolean;
  /** Waits until all is written, but for a stuck reader only this long. */
  close(deadlineMs: number): Promise<void>;
}

/**
 * Pipes and sockets by libuv's non-blocking writes; files and terminals in the thread pool, where
 * only a file's disk can hold a thread.
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
        // Comes after everything that is queued.
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
      // A full disk or a closed terminal loses this batch; the next one tries again.
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
