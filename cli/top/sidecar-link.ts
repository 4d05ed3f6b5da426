/** A connection to the gateway of a pod, over a program that runs in its sidecar. */
import type { GatewayCall } from '../../console/api/socket-source.ts';
import type { SidecarProgram, Sidecars } from '../../controller/sidecars.ts';
import type { BridgeAnswer } from './bridge.ts';

const DEADLINE_MS = 5_000;

interface Waiting {
  readonly resolve: (answer: BridgeAnswer) => void;
  readonly reject: (error: Error) => void;
}

export class SidecarLink {
  readonly #waiting = new Map<number, Waiting>();
  #program: SidecarProgram | undefined;
  #ended: Error | undefined;
  #lastId = 0;

  /** Rejects if the program cannot be started there. */
  static async open(sidecars: Sidecars, pod: string): Promise<SidecarLink> {
    const link = new SidecarLink();
    link.#program = await sidecars.start(pod, ['top', '--calls'], {
      onLine: (line) => link.#receive(line),
      onEnd: (reason) => link.#end(reason),
    });
    return link;
  }

  /** Calls the console of the gateway. */
  readonly call: GatewayCall = async <Answer>(...[method, path, query]: Parameters<GatewayCall>): Promise<Answer> => {
    const { status, body } = await this.ask(method, `/console/${path}?${query}`);
    if (status !== 200) {
      throw new Error(`the gateway answered ${status}`);
    }
    return JSON.parse(body) as Answer;
  };

  /** Asks the quota socket. Rejects if the gateway does not answer in time. */
  async ask(method: 'GET' | 'POST', path: string): Promise<BridgeAnswer> {
    if (this.#ended !== undefined) {
      throw this.#ended;
    }
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<BridgeAnswer>();
    this.#waiting.set(id, { resolve, reject });
    const timeout = setTimeout(() => reject(new Error(`no answer within ${DEADLINE_MS / 1000} s`)), DEADLINE_MS);
    try {
      this.#program?.write(`${JSON.stringify({ id, method, path })}\n`);
      const answer = await promise;
      if (answer.status === 0) {
        throw new Error(answer.body);
      }
      return answer;
    } finally {
      clearTimeout(timeout);
      this.#waiting.delete(id);
    }
  }

  close(): void {
    this.#end('the link was closed');
    this.#program?.close();
  }

  #receive(line: string): void {
    const answer = JSON.parse(line) as BridgeAnswer;
    this.#waiting.get(answer.id)?.resolve(answer);
  }

  #end(reason: string): void {
    this.#ended ??= new Error(reason);
    for (const { reject } of this.#waiting.values()) {
      reject(this.#ended);
    }
  }
}
