/** The sidecars of a cluster, for commands that a person runs with a kubeconfig. */
import { PassThrough, type Readable, Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { KubeClient } from './api/client.ts';
import { type KubeconfigOptions, kubeconfigCredentials } from './api/credentials.ts';

/** The container of the sidecar, and the program in its image. */
const CONTAINER = 'tallygate';
const COMMAND = ['/usr/local/bin/node', '/app/cli/main.ts'];

const PROXY_SELECTOR = 'app.kubernetes.io/managed-by=envoy-gateway,app.kubernetes.io/component=proxy';
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
const TIMEOUT_MS = 30_000;
const PAGE_SIZE = 500;

export interface CommandOutput {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Sidecars {
  readonly server: URL;
  readonly namespace: string;
  /** Returns the user of the kubeconfig, as the API server knows it. */
  user(): Promise<string>;
  /** Returns the running proxy pods with a sidecar, by name. */
  pods(): Promise<readonly SidecarPod[]>;
  /** Runs a command of Tallygate in the sidecar of a pod. Rejects if that is impossible. */
  run(pod: string, args: readonly string[]): Promise<CommandOutput>;
  /** Starts a command of Tallygate that reads and writes lines. Rejects if that is impossible. */
  start(pod: string, args: readonly string[], events: ProgramEvents): Promise<SidecarProgram>;
  /**
   * Returns lines of the log, and what follows. Each line begins with its time. Rejects with an
   * `ApiError`.
   */
  log(pod: string, query: LogQuery, signal: AbortSignal): Promise<Readable>;
  close(): void;
}

export interface ProgramEvents {
  readonly onLine: (line: string) => void;
  readonly onEnd: (reason: string) => void;
}

/** A command that runs in a sidecar. */
export interface SidecarProgram {
  write(text: string): void;
  /** Ends its input, at which it ends. */
  close(): void;
}

export interface SidecarPod {
  readonly name: string;
  readonly uid: string;
  /** The pod has its grace period to end open streams. */
  readonly isEnding: boolean;
}

/** Which lines of a log come first; by default, all. */
export interface LogQuery {
  /** At most so many of the last ones. */
  readonly lines?: number;
  /** Only those since this time; the API server takes whole seconds. */
  readonly sinceMs?: number;
}

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
    readonly status?: { readonly phase?: string };
    readonly spec: {
      readonly containers: readonly { readonly name: string }[];
      readonly initContainers?: readonly { readonly name: string }[];
    };
  }[];
  readonly metadata: { readonly continue?: string };
}

/** Throws if there is no kubeconfig. Operations reject with an `ApiError`. */
export async function openSidecars(options: KubeconfigOptions, namespace: string): Promise<Sidecars> {
  const credentials = await kubeconfigCredentials(options);
  const client = new KubeClient(credentials);
  return {
    server: credentials.server,
    namespace,
    user: async () => {
      const review = (await client.call('/apis/authentication.k8s.io/v1/selfsubjectreviews', {
        method: 'POST',
        body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview', metadata: { name: '' } },
      })) as { readonly status?: { readonly userInfo?: { readonly username?: string } } };
      return review.status?.userInfo?.username ?? '';
    },
    pods: async () => {
      const pods: SidecarPod[] = [];
      let next = '';
      do {
        const query = new URLSearchParams({ labelSelector: PROXY_SELECTOR, limit: String(PAGE_SIZE), continue: next });
        const page = (await client.call(`/api/v1/namespaces/${namespace}/pods?${query}`)) as PodList;
        for (const { metadata, status, spec } of page.items) {
          const containers = [...spec.containers, ...(spec.initContainers ?? [])];
          if (status?.phase === 'Running' && containers.some(({ name }) => name === CONTAINER)) {
            const { name, uid, deletionTimestamp } = metadata;
            pods.push({ name, uid, isEnding: deletionTimestamp !== undefined });
          }
        }
        next = page.metadata.continue ?? '';
      } while (next !== '');
      return pods.sort((one, other) => (one.name < other.name ? -1 : 1));
    },
    start: (pod, args, events) => startProgram(credentials.config, namespace, pod, [...COMMAND, ...args], events),
    run: (pod, args) => execute(credentials.config, namespace, pod, [...COMMAND, ...args]),
    log: async (pod, { lines, sinceMs }, signal) => {
      const query = new URLSearchParams({
        container: CONTAINER,
        follow: 'true',
        timestamps: 'true',
        ...(lines !== undefined && { tailLines: String(lines) }),
        ...(sinceMs !== undefined && { sinceTime: new Date(sinceMs).toISOString() }),
      });
      const log = await client.stream(`/api/v1/namespaces/${namespace}/pods/${pod}/log?${query}`, signal);
      // A gateway may be quiet for long.
      return log.setTimeout(0);
    },
    close: () => client.close(),
  };
}

type KubeConfig = Awaited<ReturnType<typeof kubeconfigCredentials>>['config'];

async function execute(
  config: KubeConfig,
  namespace: string,
  pod: string,
  command: readonly string[],
): Promise<CommandOutput> {
  const { Exec } = await import('@kubernetes/client-node');
  const [out, err] = [new CommandStream(), new CommandStream()];
  const ended = Promise.withResolvers<CommandOutput>();
  const timeout = setTimeout(() => ended.reject(new Error(`no answer within ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
  try {
    const exec = new Exec(config);
    const socket = await exec.exec(namespace, pod, CONTAINER, [...command], out, err, null, false, (status) => {
      const cause = status.details?.causes?.find(({ reason }) => reason === 'ExitCode');
      const code = status.status === 'Success' ? 0 : cause === undefined ? undefined : Number(cause.message);
      if (code === undefined) {
        ended.reject(new Error(status.message ?? 'the command did not run'));
      } else {
        ended.resolve({ code, stdout: out.text, stderr: err.text });
      }
    });
    socket.onclose = () => ended.reject(new Error('the connection ended'));
    socket.onerror = (event: { readonly message: string }) => ended.reject(new Error(event.message));
    const output = await ended.promise;
    socket.close();
    return output;
  } catch (error) {
    throw execError(error, namespace);
  } finally {
    clearTimeout(timeout);
  }
}

async function startProgram(
  config: KubeConfig,
  namespace: string,
  pod: string,
  command: readonly string[],
  { onLine, onEnd }: ProgramEvents,
): Promise<SidecarProgram> {
  const { Exec } = await import('@kubernetes/client-node');
  const input = new PassThrough();
  const out = new LineStream(onLine);
  const err = new CommandStream();
  try {
    const exec = new Exec(config);
    const socket = await exec.exec(namespace, pod, CONTAINER, [...command], out, err, input, false, (status) =>
      onEnd(err.text.trim().split('\n')[0] || (status.message ?? 'the command has ended')),
    );
    socket.onclose = () => onEnd('the connection ended');
    socket.onerror = (event: { readonly message: string }) => onEnd(event.message);
    return {
      write: (text) => void input.write(text),
      close: () => {
        input.end();
        socket.close();
      },
    };
  } catch (error) {
    throw execError(error, namespace);
  }
}

/**
 * A failed handshake rejects with an event. Servers before Kubernetes 1.35 ask for `get`, later
 * ones for `create`.
 */
function execError(error: unknown, namespace: string): Error {
  const message = error instanceof Error ? error.message : String((error as { readonly message?: unknown }).message);
  if (message.endsWith('response: 403')) {
    return new Error(`the user may not exec into it; ask for a Role in ${namespace} with create and get on pods/exec`);
  }
  return error instanceof Error ? error : new Error(message);
}

/** Splits what a command writes into lines, of which the last one may be long. */
class LineStream extends Writable {
  readonly #onLine: (line: string) => void;
  readonly #decoder = new StringDecoder('utf8');
  #rest: string[] = [];
  #length = 0;

  constructor(onLine: (line: string) => void) {
    super();
    this.#onLine = onLine;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    const [first = '', ...others] = this.#decoder.write(chunk).split('\n');
    this.#add(first);
    for (const start of others) {
      const line = this.#rest.join('');
      this.#rest = [];
      this.#length = 0;
      this.#add(start);
      this.#onLine(line);
    }
    done();
  }

  #add(text: string): void {
    this.#length += text.length;
    if (this.#length <= MAX_OUTPUT_BYTES) {
      this.#rest.push(text);
    }
  }
}

class CommandStream extends Writable {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.#bytes += chunk.length;
    if (this.#bytes <= MAX_OUTPUT_BYTES) {
      this.#chunks.push(chunk);
    }
    done();
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString();
  }
}
