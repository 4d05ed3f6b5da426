/**
 * A copy of a collection that follows the API server: lists, watches, and always comes back. While the server is away it keeps what it has. What is kept of an
 * object is the caller's choice.
 */
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../runtime/log.ts';
import { ApiError, type Client } from './client.ts';
import { type KubeObject, keyOf } from './object.ts';
import { type Resource, resourcePath } from './resource.ts';

const PAGE = 500;
/** The server ends a watch after that; bookmarks come about once a minute, so a longer silence means a dead connection. */
const WATCH_SECONDS = 290;
const SILENCE_MS = 100_000;
const MAX_LINE_BYTES = 8 * 1024 * 1024;
const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 10_000;

export interface InformerOptions<T> {
  readonly client: Client;
  readonly resource: Resource;
  /** Empty: all. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** What is kept; undefined: nothing of this object. */
  readonly keep: (object: KubeObject) => T | undefined;
  /** What is kept of one object, before and after; of a whole new list both are undefined. */
  readonly changed: (before?: T, after?: T) => void;
  readonly log: Log;
}

export interface Informer<T> {
  /** By `NAMESPACE/NAME`. */
  readonly items: ReadonlyMap<string, T>;
  /** The whole collection has been seen once. */
  readonly synced: boolean;
  /** The server said no: it is not known what there is. */
  readonly refused: boolean;
  close(): void;
}

interface WatchEvent {
  readonly type: string;
  readonly object: KubeObject & { readonly code?: number; readonly reason?: string; readonly message?: string };
}

export function startInformer<T>(options: InformerOptions<T>): Informer<T> {
  const { client, resource, namespace, labelSelector, fieldSelector, keep, changed, log } = options;
  const stop = new AbortController();
  const { signal } = stop;
  let items = new Map<string, T>();
  let synced = false;
  let refused = false;
  let version = '';
  const path = resourcePath(resource, namespace);
  const selectors = {
    ...(labelSelector !== undefined && { labelSelector }),
    ...(fieldSelector !== undefined && { fieldSelector }),
  };
  const query = (more: Readonly<Record<string, string>>) => `${path}?${new URLSearchParams({ ...selectors, ...more })}`;
  const put = (into: Map<string, T>, object: KubeObject) => {
    const kept = keep(object);
    if (kept === undefined) {
      into.delete(keyOf(object.metadata));
    } else {
      into.set(keyOf(object.metadata), kept);
    }
  };

  const list = async () => {
    const fresh = new Map<string, T>();
    let next = '';
    let seen = '';
    do {
      const more = next === '' ? {} : { continue: next };
      const page = (await client.call(query({ limit: String(PAGE), ...more }), { signal })) as {
        readonly items?: readonly KubeObject[];
        readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
      };
      for (const item of page.items ?? []) {
        put(fresh, { ...item, apiVersion: resource.apiVersion, kind: resource.kind });
      }
      seen = page.metadata.resourceVersion;
      next = page.metadata.continue ?? '';
    } while (next !== '');
    // Only now: a list that breaks off before its last page is no ground for a watch.
    version = seen;
    items = fresh;
    synced = true;
    refused = false;
    changed();
  };

  const watch = async () => {
    const more = { watch: '1', allowWatchBookmarks: 'true', timeoutSeconds: String(WATCH_SECONDS) };
    const answer = await client.stream(query({ ...more, resourceVersion: version }), signal);
    // The client's own limit is for answers; here silence is normal for a minute.
    answer.socket.setTimeout(0);
    for await (const { type, object } of events(answer)) {
      if (type === 'ERROR') {
        throw new ApiError(object.code ?? 500, object.reason ?? 'Unknown', object.message ?? '');
      }
      version = object.metadata.resourceVersion ?? version;
      if (type === 'BOOKMARK') {
        continue;
      }
      const key = keyOf(object.metadata);
      const before = items.get(key);
      if (type === 'DELETED') {
        items.delete(key);
      } else {
        put(items, object);
      }
      const after = items.get(key);
      // Of some objects nothing is kept.
      if (before !== undefined || after !== undefined) {
        changed(before, after);
      }
    }
  };

  const run = async () => {
    let failures = 0;
    while (!signal.aborted) {
      const startedMs = performance.now();
      try {
        if (version === '') {
          await list();
        }
        await watch();
        failures = 0;
      } catch (error) {
        if (signal.aborted) {
          return;
        }
        const code = error instanceof ApiError ? error.code : -1;
        // What it has seen is too old for the server, or the kind is new: from the beginning.
        if (code !== 0) {
          version = '';
        }
        if (code === 403 && !refused) {
          refused = true;
          changed();
        }
        failures = performance.now() - startedMs > BACKOFF_MAX_MS ? 0 : failures + 1;
        if (failures > 1 && code !== 410) {
          log.warn(
            { kind: resource.kind, namespace, code, error: String(error) },
            'a collection cannot be followed now',
          );
        }
      }
      const delayMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** failures) * (0.5 + Math.random() / 2);
      await sleep(delayMs, undefined, { signal }).catch(() => {});
    }
  };
  void run();
  return {
    get items() {
      return items;
    },
    get synced() {
      return synced;
    },
    get refused() {
      return refused;
    },
    close: () => stop.abort(),
  };
}

/** A watch's lines. Ends when the server ends it; throws where nothing at all comes, or a line has no end. */
async function* events(answer: IncomingMessage): AsyncGenerator<WatchEvent> {
  const silence = setTimeout(
    () => answer.destroy(new ApiError(0, 'Unreachable', 'nothing came for too long')),
    SILENCE_MS,
  );
  let pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of answer as AsyncIterable<Buffer>) {
      silence.refresh();
      let start = 0;
      for (let end = piece.indexOf(0x0a); end !== -1; end = piece.indexOf(0x0a, start)) {
        pieces.push(piece.subarray(start, end));
        const line = Buffer.concat(pieces).toString('utf8');
        pieces = [];
        bytes = 0;
        start = end + 1;
        if (line !== '') {
          yield JSON.parse(line) as WatchEvent;
        }
      }
      pieces.push(piece.subarray(start));
      bytes += piece.length - start;
      if (bytes > MAX_LINE_BYTES) {
        throw new Error('an event of a watch is too long');
      }
    }
  } catch (error) {
    throw error instanceof ApiError || error instanceof SyntaxError
      ? error
      : new ApiError(0, 'Unreachable', error instanceof Error ? error.message : String(error));
  } finally {
    clearTimeout(silence);
    answer.destroy();
  }
}
