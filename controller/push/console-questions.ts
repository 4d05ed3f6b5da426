/** The questions of a console to one sidecar that wait for a reply. */
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ConsoleQuestionSchema, ConsoleReply } from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';
import { CONSOLE_TIMEOUT_MS, MAX_CONSOLE_BODY_BYTES, MAX_CONSOLE_QUESTIONS } from './limits.ts';
import { consoleQuestionMessage } from './wire.ts';

export type ConsoleContent = Omit<MessageInitShape<typeof ConsoleQuestionSchema>, 'number' | '$typeName' | '$unknown'>;

export interface ConsoleReplyBody {
  readonly status: number;
  readonly body: object;
}

const decompressed = promisify(gunzip);

export class ConsoleQuestions {
  readonly #send: (message: Uint8Array) => void;
  readonly #waiting = new Map<bigint, (reply: ConsoleReply | undefined) => void>();
  #last = 0n;

  constructor(send: (message: Uint8Array) => void) {
    this.#send = send;
  }

  /** Resolves with undefined where no readable reply comes in time, or too many questions wait. */
  async ask(content: ConsoleContent): Promise<ConsoleReplyBody | undefined> {
    if (this.#waiting.size >= MAX_CONSOLE_QUESTIONS) {
      return undefined;
    }
    const number = ++this.#last;
    const reply = await new Promise<ConsoleReply | undefined>((resolve) => {
      const timer = setTimeout(() => this.#finish(number, undefined), CONSOLE_TIMEOUT_MS);
      this.#waiting.set(number, (received) => {
        clearTimeout(timer);
        resolve(received);
      });
      this.#send(consoleQuestionMessage({ ...content, number }));
    });
    return reply && (await readBody(reply));
  }

  answered(reply: ConsoleReply): void {
    this.#finish(reply.number, reply);
  }

  /** Gives up all questions: the stream has ended. */
  close(): void {
    for (const number of [...this.#waiting.keys()]) {
      this.#finish(number, undefined);
    }
  }

  #finish(number: bigint, reply: ConsoleReply | undefined): void {
    const resolve = this.#waiting.get(number);
    this.#waiting.delete(number);
    resolve?.(reply);
  }
}

async function readBody({ status, body: bytes }: ConsoleReply): Promise<ConsoleReplyBody | undefined> {
  try {
    const text = await decompressed(bytes, { maxOutputLength: MAX_CONSOLE_BODY_BYTES });
    const body: unknown = JSON.parse(text.toString('utf8'));
    return typeof body === 'object' && body !== null ? { status, body } : undefined;
  } catch {
    return undefined;
  }
}
