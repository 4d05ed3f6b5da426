/**
 * Keeps a copy of a collection of the API server: lists, watches, and retries forever. While the
 * server is unavailable the copy stays as it is. The caller selects the kept part of an object.
 */
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorMessage } from '../../runtime/error-message.ts';
import type { Log } from '../../runtime/log.ts';
import { ApiError, type KubeClient } from './client.ts';
import { type KubeObject, keyOf } from './object.ts';
import { type Resource, resourcePath } from './resource.ts';

const PAGE = 500;
/** The server ends a watch after this time. */
const WATCH_SECONDS = 290;
/** Bookmarks arrive about once a minute: a longer silence means a dead connection. */
const SILENCE_MS = 100_000;
const MAX_LINE_BYTES = 8 * 1024 * 1024;
const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 10_000;

export interface InformerOptions<T> {
  readonly client: KubeClient;
  readonly resource: Resource;
  /** Empty or absent: all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Returns the part of an object to keep; undefined: nothing. */
  readonly keep: (object: KubeObject) => T | undefined;
  /** Called with the kept parts before and after a change; both are undefined for a new list. */
  readonly changed: (before?: T, after?: T) => void;
  readonly log: Log;
}

/** A copy of a collection. */
export interface Informer<T> {
  /** By `NAMESPACE/NAME`. */
  readonly items: ReadonlyMap<string, T>;
  /** Whether the whole collection has been listed once. */
  readonly synced: boolean;
  /** The server denies access, so the content of the collection is unknown. */
  readonly refused: boolean;
  /** The server does not have the kind. */
  readonly absent: boolean;
  close(): void;
}

interface WatchEvent {
  readonly type: string;
  readonly object: KubeObject & { readonly code?: number; readonly reason?: string; readonly message?: string };
}

export function startInformer<T>(options: InformerOptions<T>): Informer<T> {
  const informer = new CollectionInformer(options);
  void informer.run();
  return informer;
}

class CollectionInformer<T> implements Informer<T> {
  items = new Map<string, T>();
  synced = false;
  refused = false;
  absent = false;
  readonly #options: InformerOptions<T>;
  readonly #stop = new AbortController();
  readonly #path: string;
  readonly #selectors: Readonly<Record<string, string>>;
  /** The resource version to watch from; empty: list first. */
  #version = '';
  #failures = 0;

  constructor(options: InformerOptions<T>) {
    const { resource, namespace, labelSelector, fieldSelector } = options;
    this.#options = options;
    this.#path = resourcePath(resource, namespace);
    this.#selectors = {
      ...(labelSelector !== undefined && { labelSelector }),
      ...(fieldSelector !== undefined && { fieldSelector }),
    };
  }

  readonly close = (): void => this.#stop.abort();

  async run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const startedMs = performance.now();
      try {
        if (this.#version === '') {
          await this.#list();
        }
        await this.#watch();
        this.#failures = 0;
      } catch (error) {
        if (signal.aborted) {
          return;
        }
        this.#failed(error, performance.now() - startedMs);
      }
      const delayMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** this.#failures) * (0.5 + Math.random() / 2);
      await sleep(delayMs, undefined, { signal }).catch(() => {});
    }
  }

  async #list(): Promise<void> {
    const { client, resource, changed } = this.#options;
    const { signal } = this.#stop;
    const fresh = new Map<string, T>();
    let next = '';
    let version = '';
    do {
      const position: Readonly<Record<string, string>> = next === '' ? {} : { continue: next };
      const page = (await client.call(this.#query({ limit: String(PAGE), ...position }), { signal })) as {
        readonly items?: readonly KubeObject[];
        readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
      };
      for (const item of page.items ?? []) {
        this.#put(fresh, { ...item, apiVersion: resource.apiVersion, kind: resource.kind });
      }
      version = page.metadata.resourceVersion;
      next = page.metadata.continue ?? '';
    } while (next !== '');
    // Only now: an incomplete list is no base for a watch.
    this.#version = version;
    this.items = fresh;
    this.synced = true;
    this.refused = false;
    this.absent = false;
    changed();
  }

  async #watch(): Promise<void> {
    const { client, changed } = this.#options;
    const parameters = { watch: '1', allowWatchBookmarks: 'true', timeoutSeconds: String(WATCH_SECONDS) };
    const query = this.#query({ ...parameters, resourceVersion: this.#version });
    const response = await client.stream(query, this.#stop.signal);
    // Replaces the client's timeout: a watch may be silent for a minute.
    response.socket.setTimeout(0);
    for await (const { type, object } of events(response)) {
      if (type === 'ERROR') {
        throw new ApiError(object.code ?? 500, object.reason ?? 'Unknown', object.message ?? '');
      }
      this.#version = object.metadata.resourceVersion ?? this.#version;
      if (type === 'BOOKMARK') {
        continue;
      }
      const key = keyOf(object.metadata);
      const before = this.items.get(key);
      if (type === 'DELETED') {
        this.items.delete(key);
      } else {
        this.#put(this.items, object);
      }
      const after = this.items.get(key);
      // Both are undefined for an object of which nothing is kept.
      if (before !== undefined || after !== undefined) {
        changed(before, after);
      }
    }
  }

  #failed(error: unknown, livedMs: number): void {
    const { resource, namespace, changed, log } = this.#options;
    const code = error instanceof ApiError ? error.code : -1;
    const isUnknown = code === 404 && this.#version === '';
    // The version is too old for the server, or the kind is new: list again.
    if (code !== 0) {
      this.#version = '';
    }
    if (code === 403 && !this.refused) {
      this.refused = true;
      changed();
    }
    if (isUnknown && !this.absent) {
      this.absent = true;
      changed();
    }
    this.#failures = livedMs > BACKOFF_MAX_MS ? 0 : this.#failures + 1;
    if (this.#failures > 1 && code !== 410) {
      log.warn({ kind: resource.kind, namespace, code, err: error }, 'watch failed; retrying');
    }
  }

  #put(items: Map<string, T>, object: KubeObject): void {
    const kept = this.#options.keep(object);
    if (kept === undefined) {
      items.delete(keyOf(object.metadata));
    } else {
      items.set(keyOf(object.metadata), kept);
    }
  }

  #query(parameters: Readonly<Record<string, string>>): string {
    return `${this.#path}?${new URLSearchParams({ ...this.#selectors, ...parameters })}`;
  }
}

/**
 * Yields the events of a watch until the server ends it. Throws if the connection is silent or a
 * line too long.
 */
async function* events(response: IncomingMessage): AsyncGenerator<WatchEvent> {
  const silence = setTimeout(
    () => response.destroy(new ApiError(0, 'Unreachable', `no data within ${SILENCE_MS} ms`)),
    SILENCE_MS,
  );
  let pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of response as AsyncIterable<Buffer>) {
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
        throw new Error(`a watch event exceeds ${MAX_LINE_BYTES} bytes`);
      }
    }
  } catch (error) {
    throw error instanceof ApiError || error instanceof SyntaxError
      ? error
      : new ApiError(0, 'Unreachable', errorMessage(error));
  } finally {
    clearTimeout(silence);
    response.destroy();
  }
}
