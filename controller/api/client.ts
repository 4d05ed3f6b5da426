/**
 * A client of the API server: plain requests over HTTPS, objects as JSON, refusals as `ApiError`.
 */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest, type RequestOptions } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorMessage } from '../../runtime/error-message.ts';
import type { Credentials } from './credentials.ts';
import type { KubeObject } from './object.ts';
import { type Resource, resourcePath } from './resource.ts';

export const FIELD_MANAGER = 'tallygate';

const REQUEST_TIMEOUT_MS = 15_000;
/** For one object or one page of a list. */
const MAX_RESPONSE_BYTES = 64 * 1024 * 1024;
/** Each watch holds one connection; the rest is for requests. */
const MAX_SOCKETS = 512;
const MAX_ATTEMPTS = 3;
const MAX_RETRY_AFTER_MS = 10_000;
const KEEPALIVE_MS = 15_000;

export class ApiError extends Error {
  /** The HTTP status; 0 if there was no response. */
  readonly code: number;
  /** The API server's reason: `Conflict`, `NotFound`, `Expired`… */
  readonly reason: string;

  constructor(code: number, reason: string, message: string) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

export interface ApiCall {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly body?: unknown;
  /** Default: `application/json`. */
  readonly contentType?: string;
  readonly signal?: AbortSignal | undefined;
}

export interface WriteOptions {
  readonly subresource?: 'status';
  readonly signal?: AbortSignal | undefined;
}

export interface ApiWrite {
  readonly method: string;
  readonly path: string;
}

export interface WriteHooks {
  /** Called before each write. A write whose signal it aborts is not sent. */
  readonly beforeWrite?: () => void;
  /** Called for each write that is sent. */
  readonly writing?: (write: ApiWrite) => void;
}

export class KubeClient {
  readonly #credentials: Credentials;
  readonly #hooks: WriteHooks;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS, maxFreeSockets: 16, timeout: 0 });

  constructor(credentials: Credentials, hooks: WriteHooks = {}) {
    this.#credentials = credentials;
    this.#hooks = hooks;
  }

  /** Returns the response as JSON. Rejects with `ApiError`. */
  async call(path: string, call: ApiCall = {}): Promise<unknown> {
    const response = await this.#send(path, call);
    const text = await textOf(response);
    const json = parsed(text);
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) {
      return json;
    }
    const { reason = 'Unknown', message = text.slice(0, 500) } = json as { reason?: string; message?: string };
    throw new ApiError(status, reason, message);
  }

  /** Returns the response with its body unread, for watches. */
  async stream(path: string, signal: AbortSignal): Promise<IncomingMessage> {
    const response = await this.#open(path, { signal });
    if (response.statusCode === 200) {
      return response;
    }
    const json = parsed(await textOf(response)) as { reason?: string; message?: string };
    throw new ApiError(response.statusCode ?? 0, json.reason ?? 'Unknown', json.message ?? 'the watch was refused');
  }

  /** Applies the object server-side, taking over fields of other managers. */
  apply(resource: Resource, object: KubeObject, options: WriteOptions = {}): Promise<KubeObject> {
    return this.#write('PATCH', `fieldManager=${FIELD_MANAGER}&force=true`, resource, object, options);
  }

  replace(resource: Resource, object: KubeObject, options: WriteOptions = {}): Promise<KubeObject> {
    return this.#write('PUT', `fieldManager=${FIELD_MANAGER}`, resource, object, options);
  }

  async create(resource: Resource, object: KubeObject, { signal }: WriteOptions = {}): Promise<KubeObject> {
    const path = `${resourcePath(resource, object.metadata.namespace)}?fieldManager=${FIELD_MANAGER}`;
    return (await this.call(path, { method: 'POST', body: object, signal })) as KubeObject;
  }

  /** Returns undefined if the object does not exist. */
  async get(
    resource: Resource,
    namespace: string,
    name: string,
    signal?: AbortSignal,
  ): Promise<KubeObject | undefined> {
    const found = this.call(resourcePath(resource, namespace, name), { signal }) as Promise<KubeObject>;
    return unlessNotFound(found, undefined);
  }

  /**
   * Removes this object only, not a later one of the same name. Returns false if it does not exist.
   */
  async remove(resource: Resource, { metadata }: KubeObject, signal?: AbortSignal): Promise<boolean> {
    const body = {
      kind: 'DeleteOptions',
      apiVersion: 'v1',
      preconditions: { uid: metadata.uid, resourceVersion: metadata.resourceVersion },
      propagationPolicy: 'Background',
    };
    const path = resourcePath(resource, metadata.namespace, metadata.name);
    const removed = this.call(path, { method: 'DELETE', body, signal }).then(() => true);
    return unlessNotFound(removed, false);
  }

  close(): void {
    this.#agent.destroy();
  }

  async #write(
    method: 'PUT' | 'PATCH',
    query: string,
    resource: Resource,
    object: KubeObject,
    { subresource, signal }: WriteOptions,
  ): Promise<KubeObject> {
    const { namespace, name } = object.metadata;
    const path = `${resourcePath(resource, namespace, name)}${subresource === undefined ? '' : `/${subresource}`}`;
    const contentType = method === 'PATCH' ? 'application/apply-patch+yaml' : 'application/json';
    return (await this.call(`${path}?${query}`, { method, body: object, contentType, signal })) as KubeObject;
  }

  /** Sends the request, and repeats it when the server is busy and says when to retry. */
  async #send(path: string, call: ApiCall): Promise<IncomingMessage> {
    const { method = 'GET' } = call;
    for (let attempt = 1; ; attempt++) {
      if (method !== 'GET') {
        this.#hooks.beforeWrite?.();
      }
      call.signal?.throwIfAborted();
      if (method !== 'GET') {
        this.#hooks.writing?.({ method, path });
      }
      const response = await this.#open(path, call);
      const retryAfterMs = Number(response.headers['retry-after']) * 1000;
      const isBusy = response.statusCode === 429 || response.statusCode === 503;
      if (!isBusy || !(retryAfterMs <= MAX_RETRY_AFTER_MS) || attempt === MAX_ATTEMPTS) {
        return response;
      }
      response.destroy();
      await sleep(retryAfterMs * (1 + Math.random() / 2), undefined, { signal: call.signal });
    }
  }

  async #open(path: string, call: ApiCall): Promise<IncomingMessage> {
    const { method = 'GET', body, contentType = 'application/json', signal } = call;
    const { server } = this.#credentials;
    const credentials: RequestOptions = {};
    await this.#credentials.apply(credentials);
    const text = body === undefined ? undefined : JSON.stringify(body);
    const isPlain = server.protocol === 'http:';
    const options: RequestOptions = {
      ...credentials,
      agent: isPlain ? undefined : this.#agent,
      method,
      hostname: server.hostname,
      port: server.port,
      path: join(server.pathname, path),
      headers: {
        ...credentials.headers,
        accept: 'application/json',
        'user-agent': 'tallygate-controller',
        ...(text !== undefined && { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }),
      },
    };
    if (signal !== undefined) {
      options.signal = signal;
    }
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing: ClientRequest = (isPlain ? httpRequest : httpsRequest)(options, resolve);
      outgoing.setTimeout(REQUEST_TIMEOUT_MS, () => outgoing.destroy(new Error('the API server does not respond')));
      outgoing.on('error', (error) => reject(new ApiError(0, 'Unreachable', error.message)));
      outgoing.on('socket', (socket) => socket.setKeepAlive(true, KEEPALIVE_MS));
      outgoing.end(text);
    });
  }
}

async function unlessNotFound<T, U>(response: Promise<T>, otherwise: U): Promise<T | U> {
  try {
    return await response;
  } catch (error) {
    if (error instanceof ApiError && error.code === 404) {
      return otherwise;
    }
    throw error;
  }
}

function join(base: string, path: string): string {
  return `${base === '/' ? '' : base.replace(/\/$/, '')}${path}`;
}

async function textOf(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of response as AsyncIterable<Buffer>) {
      pieces.push(piece);
      bytes += piece.length;
      if (bytes > MAX_RESPONSE_BYTES) {
        throw new Error(`the response exceeds ${MAX_RESPONSE_BYTES} bytes`);
      }
    }
  } catch (error) {
    throw new ApiError(0, 'Unreachable', errorMessage(error));
  }
  return Buffer.concat(pieces).toString('utf8');
}

function parsed(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}
