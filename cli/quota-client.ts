/** Asks a gateway on this machine through its quota socket. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { ask, askForStream } from '../runtime/unix-http.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import { quotaSocketOf } from '../standalone/state.ts';
import { type Settings, stateHome } from './environment.ts';

/** The quota socket of a sidecar, in the volume of its journal. */
const SIDECAR_SOCKET = '/var/lib/tallygate/quota.sock';
const DEADLINE_MS = 30_000;

/** Returns the socket of the flag, of the instance, or of the sidecar of this pod. */
export function quotaSocket(settings: Settings, flags: { readonly name: string; readonly socket?: string }): string {
  const state = {
    stateHome: stateHome(settings, homedir()),
    runtimeHome: settings.XDG_RUNTIME_DIR,
    name: flags.name,
  };
  const local = quotaSocketOf(state);
  return flags.socket ?? (!existsSync(local) && existsSync(SIDECAR_SOCKET) ? SIDECAR_SOCKET : local);
}

export async function request(socket: string, method: 'GET' | 'POST', path: string): Promise<string> {
  try {
    const { status, body } = await ask(socket, method, path, DEADLINE_MS);
    if (status === 200) {
      return body;
    }
    throw status === 400 ? new OperatorError(body) : otherVersion(socket, status);
  } catch (error) {
    throw operatorErrorOf(error, socket);
  }
}

/** Yields the objects of a response of JSON lines as they arrive. */
export async function* streamed<T>(socket: string, path: string): AsyncGenerator<T> {
  for await (const line of streamedLines(socket, path, DEADLINE_MS)) {
    yield JSON.parse(line) as T;
  }
}

/**
 * Yields the lines of a response as they arrive; `idleMs` 0: however long that takes. Calls
 * `onOpen` when the response begins.
 */
export async function* streamedLines(
  socket: string,
  path: string,
  idleMs: number,
  onOpen: () => void = () => {},
): AsyncGenerator<string> {
  try {
    const { status, lines } = await askForStream(socket, path, idleMs);
    if (status === 400) {
      throw new OperatorError((await Array.fromAsync(lines())).join(' '));
    }
    if (status !== 200) {
      throw otherVersion(socket, status);
    }
    onOpen();
    yield* lines();
  } catch (error) {
    throw operatorErrorOf(error, socket);
  }
}

function otherVersion(socket: string, status: number): OperatorError {
  return new OperatorError(`the gateway at ${socket} answered ${status}; use the tallygate of the same version`);
}

/** No gateway is there, or it has ended before the end of its response. */
export class GatewayAway extends OperatorError {}

/** Returns the error with its fix where a gateway cannot be asked. */
export function operatorErrorOf(error: unknown, socket: string): unknown {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return new GatewayAway(`no gateway runs at ${socket}; start it, or select another one with --name or --socket`);
    case 'EACCES':
      return new OperatorError(`permission to open ${socket} denied; run the command as the user of the gateway`);
    case 'ECONNRESET':
      return new GatewayAway(`the gateway at ${socket} broke off its response; see its log, and try again`);
    default:
      return error;
  }
}

/** Returns the objects of a response of JSON lines. */
export function jsonLines<T>(body: string): T[] {
  return body
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}
