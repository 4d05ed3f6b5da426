/**
 * Talks to the API server: plain requests over HTTPS. Objects go in and come out as JSON; what the
 * server refuses comes as `ApiError`.
 */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest, type RequestOptions } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Credentials } from './credentials.ts';
import type { KubeObject } from './object.ts';
import { type Resource, resourcePath } from './resource.ts';

export const FIELD_MANAGER = 'tallygate';

const REQUEST_TIMEOUT_MS = 15_000;
/** An answer is one object or one page of a list. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** Watches hold one connection each; what is left is for requests. */
const MAX_SOCKETS = 512;
const MAX_ATTEMPTS = 3;
const MAX_RETRY_AFTER_MS = 10_000;

export class ApiError extends Error {
  /** HTTP status; 0: there was no answer. */
  readonly code: number;
  /** As the API server names it: `Conflict`, `NotFound`, `Expired`… */
  readonly reason: string;

  constructor(code: number, reason: string, message: string) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

export interface Call {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly body?: unknown;
  /** `application/json` unless said otherwise. */
  readonly contentType?: string;
  readonly signal?: AbortSignal | undefined;
}

export interface Client {
  /** The answer as JSON. Rejects with `ApiError`. */
  call(path: string, call?: Call): Promise<unknown>;
  /** The answer's body as it comes; for watches. */
  stream(path: string, signal: AbortSignal): Promise<IncomingMessage>;
  apply(resource: Resource, object: KubeObject, options?: WriteOptions): Promise<KubeObject>;
  replace(resource: Resource, object: KubeObject, options?: WriteOptions): Promise<KubeObject>;
  create(resource: Resource, object: KubeObject, options?: WriteOptions): Promise<KubeObject>;
  get(resource: Resource, namespace: string, name: string, signal?: AbortSignal): Promise<KubeObject | undefined>;
  /** Only this object, not one that has taken its name. False: it is gone already. */
  remove(resource: Resource, object: KubeObject, signal?: AbortSignal): Promise<boolean>;
  close(): void;
}

export interface WriteOptions {
  readonly subresource?: 'status';
  readonly signal?: AbortSignal | undefined;
}

/** What may have been written: it is sent now. */
export interface Write {
  readonly method: string;
  readonly path: string;
}

/** `beforeWrite`: the last look before something is written; what it aborts is not sent. */
export function newClient(
  credentials: Credentials,
  beforeWrite: () => void = () => {},
  writing: (write: Write) => void = () => {},
): Client {
  const { server } = credentials;
  const agent = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS, maxFreeSockets: 16, timeout: 0 });

  const open = async (path: string, { method = 'GET', body, contentType = 'application/json', signal }: Call) => {
    const options: RequestOptions = {};
    await credentials.apply(options);
    const text = body === undefined ? undefined : JSON.stringify(body);
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const send = server.protocol === 'http:' ? httpRequest : httpsRequest;
      const outgoing: ClientRequest = send(
        {
          ...options,
          ...{ agent: server.protocol === 'http:' ? undefined : agent, method },
          ...{ hostname: server.hostname, port: server.port, path: join(server.pathname, path) },
          ...(signal && { signal }),
          headers: {
            ...options.headers,
            accept: 'application/json',
            'user-agent': 'tallygate-controller',
            ...(text !== undefined && { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }),
          },
        },
        resolve,
      );
      outgoing.setTimeout(REQUEST_TIMEOUT_MS, () => outgoing.destroy(new Error('the API server does not answer')));
      outgoing.on('error', (error) => reject(new ApiError(0, 'Unreachable', error.message)));
      outgoing.on('socket', (socket) => socket.setKeepAlive(true, 15_000));
      outgoing.end(text);
    });
  };

  const send = async (path: string, what: Call): Promise<IncomingMessage> => {
    for (let attempt = 1; ; attempt++) {
      const { method = 'GET' } = what;
      if (method !== 'GET') {
        beforeWrite();
      }
      what.signal?.throwIfAborted();
      if (method !== 'GET') {
        writing({ method, path });
      }
      const answer = await open(path, what);
      const afterMs = Number(answer.headers['retry-after']) * 1000;
      // Not done: the server says when to come again, as with too many requests.
      const again = (answer.statusCode === 429 || answer.statusCode === 503) && afterMs <= MAX_RETRY_AFTER_MS;
      if (!again || attempt === MAX_ATTEMPTS) {
        return answer;
      }
      answer.destroy();
      await sleep(afterMs * (1 + Math.random() / 2), undefined, { signal: what.signal });
    }
  };
  const call = async (path: string, what: Call = {}) => {
    const answer = await send(path, what);
    const text = await textOf(answer);
    const json = parsed(text);
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) {
      return json;
    }
    const { reason = 'Unknown', message = text.slice(0, 500) } = json as { reason?: string; message?: string };
    throw new ApiError(status, reason, message);
  };
  const write =
    (method: 'PUT' | 'PATCH') =>
    async (resource: Resource, object: KubeObject, { subresource, signal }: WriteOptions = {}) => {
      const { namespace, name } = object.metadata;
      const query = `fieldManager=${FIELD_MANAGER}${method === 'PATCH' ? '&force=true' : ''}`;
      const path = `${resourcePath(resource, namespace, name)}${subresource === undefined ? '' : `/${subresource}`}`;
      const contentType = method === 'PATCH' ? 'application/apply-patch+yaml' : 'application/json';
      return (await call(`${path}?${query}`, { method, body: object, contentType, signal })) as KubeObject;
    };
  return {
    call,
    async stream(path, signal) {
      const answer = await open(path, { signal });
      if (answer.statusCode === 200) {
        return answer;
      }
      const json = parsed(await textOf(answer)) as { reason?: string; message?: string };
      throw new ApiError(answer.statusCode ?? 0, json.reason ?? 'Unknown', json.message ?? 'the watch was refused');
    },
    apply: write('PATCH'),
    replace: write('PUT'),
    async create(resource, object, { signal } = {}) {
      const path = `${resourcePath(resource, object.metadata.namespace)}?fieldManager=${FIELD_MANAGER}`;
      return (await call(path, { method: 'POST', body: object, signal })) as KubeObject;
    },
    async get(resource, namespace, name, signal) {
      try {
        return (await call(resourcePath(resource, namespace, name), { signal })) as KubeObject;
      } catch (error) {
        if (error instanceof ApiError && error.code === 404) {
          return undefined;
        }
        throw error;
      }
    },
    async remove(resource, { metadata }, signal) {
      const body = {
        kind: 'DeleteOptions',
        apiVersion: 'v1',
        preconditions: { uid: metadata.uid, resourceVersion: metadata.resourceVersion },
        propagationPolicy: 'Background',
      };
      try {
        await call(resourcePath(resource, metadata.namespace, metadata.name), { method: 'DELETE', body, signal });
        return true;
      } catch (error) {
        if (error instanceof ApiError && error.code === 404) {
          return false;
        }
        throw error;
      }
    },
    close: () => agent.destroy(),
  };
}

function join(base: string, path: string): string {
  return `${base === '/' ? '' : base.replace(/\/$/, '')}${path}`;
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of answer as AsyncIterable<Buffer>) {
      pieces.push(piece);
      bytes += piece.length;
      if (bytes > MAX_ANSWER_BYTES) {
        throw new Error('the answer is too long');
      }
    }
  } catch (error) {
    throw new ApiError(0, 'Unreachable', error instanceof Error ? error.message : String(error));
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
