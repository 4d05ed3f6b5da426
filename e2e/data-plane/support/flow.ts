import type { EventEmitter } from 'node:events';

/** Waits until a stream accepts more data or is closed. */
export function roomIn(stream: EventEmitter & { readonly destroyed?: boolean }): Promise<void> {
  return eventIn(stream, ['drain', 'close']);
}

/** Waits until a stream is closed. */
export function closeOf(stream: EventEmitter & { readonly destroyed?: boolean }): Promise<void> {
  return eventIn(stream, ['close']);
}

function eventIn(stream: EventEmitter & { readonly destroyed?: boolean }, names: readonly string[]): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      for (const name of names) {
        stream.off(name, done);
      }
      resolve();
    };
    for (const name of names) {
      stream.on(name, done);
    }
    if (stream.destroyed === true) {
      done();
    }
  });
}
