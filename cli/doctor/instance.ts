/** Asks a gateway on this machine what it says of itself. */
import { request } from 'node:http';
import { connect } from 'node:net';
import type { Address } from '../../runtime/environment.ts';
import { ask, type UnixHttpResponse } from '../../runtime/unix-http.ts';
import type { InstancePaths } from '../../standalone/state.ts';
import { type MetricSamples, readMetrics } from './metrics-text.ts';

const DEADLINE_MS = 2_000;

/** What answers at an address or a socket. */
export type Answer<T> =
  | { readonly type: 'answer'; readonly value: T }
  | { readonly type: 'nothing' }
  /** Another program, or an error. */
  | { readonly type: 'error'; readonly message: string };

/** The body of `/readyz` of `tallygate run`. */
export interface GatewayReadiness {
  readonly ready: boolean;
  readonly envoy: boolean;
  readonly extproc: boolean;
  readonly policy: string;
  readonly journal: string;
  readonly quotaStore?: string;
  readonly stopping: boolean;
}

export interface Instance {
  /** The address of the console, /metrics and /readyz, for messages. */
  readonly address: string;
  readonly readiness: Answer<GatewayReadiness>;
  readonly metrics: Answer<MetricSamples>;
  /** Whether the ext_proc service of this instance answers. */
  readonly extproc: Answer<true>;
  readonly quotaSocket: Answer<true>;
  /** The addresses of the listeners of this instance's Envoy. */
  readonly listeners: Answer<readonly string[]>;
}

export async function observeInstance(address: Address, paths: InstancePaths): Promise<Instance> {
  const [readiness, metrics, extproc, quotaSocket, listeners] = await Promise.all([
    answerOf(httpGet(address, '/readyz'), readinessIn),
    answerOf(httpGet(address, '/metrics'), ({ status, body }) => (status === 200 ? readMetrics(body) : undefined)),
    answerOf(ask(paths.extprocAdminSocket, 'GET', '/healthz', DEADLINE_MS), () => true as const),
    answerOf(connects(paths.quotaSocket), () => true as const),
    answerOf(ask(paths.envoyAdminSocket, 'GET', '/listeners?format=json', DEADLINE_MS), listenersIn),
  ]);
  return { address: addressText(address), readiness, metrics, extproc, quotaSocket, listeners };
}

async function answerOf<R, T>(response: Promise<R>, read: (response: R) => T | undefined): Promise<Answer<T>> {
  try {
    const value = read(await response);
    return value === undefined ? { type: 'error', message: 'another program answers' } : { type: 'answer', value };
  } catch (error) {
    const { code, message, name } = error as NodeJS.ErrnoException;
    if (code === 'ECONNREFUSED' || code === 'ENOENT') {
      return { type: 'nothing' };
    }
    const isLate = name === 'AbortError' || name === 'TimeoutError';
    return { type: 'error', message: isLate ? `no answer within ${DEADLINE_MS / 1000} s` : message };
  }
}

/** Sends no header of the environment's proxy, and follows no redirect. */
function httpGet(address: Address, path: string): Promise<UnixHttpResponse> {
  if (address.type !== 'tcp') {
    return ask(address.path, 'GET', path, DEADLINE_MS);
  }
  const { promise, resolve, reject } = Promise.withResolvers<UnixHttpResponse>();
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const asked = request({ host: address.host, port: address.port, path, signal, agent: false }, (response) => {
    const parts: string[] = [];
    response.setEncoding('utf8');
    response.on('data', (part: string) => parts.push(part));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, body: parts.join('') }));
    response.on('error', reject);
  });
  asked.on('error', reject);
  asked.end();
  return promise;
}

function readinessIn({ body }: UnixHttpResponse): GatewayReadiness | undefined {
  try {
    const value = JSON.parse(body) as GatewayReadiness;
    return typeof value?.ready === 'boolean' && typeof value.policy === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

interface EnvoyListeners {
  readonly listener_statuses?: readonly {
    readonly local_address?: { readonly socket_address?: { readonly address: string; readonly port_value: number } };
  }[];
}

function listenersIn({ status, body }: UnixHttpResponse): readonly string[] | undefined {
  if (status !== 200) {
    return undefined;
  }
  const { listener_statuses: statuses = [] } = JSON.parse(body) as EnvoyListeners;
  return statuses.flatMap(({ local_address: local }) => {
    const at = local?.socket_address;
    return at === undefined ? [] : [`${at.address}:${at.port_value}`];
  });
}

function connects(path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect({ path, timeout: DEADLINE_MS }, resolve);
  socket.on('timeout', () => reject(new DOMException('', 'TimeoutError')));
  socket.on('error', reject);
  return promise.finally(() => socket.destroy());
}

function addressText(address: Address): string {
  return address.type === 'tcp' ? `${address.host}:${address.port}` : address.path;
}
