/**
 * Lets `tallygate top --cluster` ask the gateway of a pod: a program in the sidecar reads calls
 * from stdin, one JSON object per line, and writes an answer for each.
 */

import { errorMessage } from '../../runtime/error-message.ts';
import { ask } from '../../runtime/unix-http.ts';
import { linesOfStream } from '../tail/lines.ts';
import { printableJsonLines } from '../terminal/printable.ts';

export interface BridgeCall {
  readonly id: number;
  readonly method: 'GET' | 'POST';
  /** Of the quota socket, with its query. */
  readonly path: string;
}

/** Status 0: the gateway did not answer, for the reason in `body`. */
export interface BridgeAnswer {
  readonly id: number;
  readonly status: number;
  readonly body: string;
}

const DEADLINE_MS = 10_000;
/** The other side asks every few seconds, so it has gone without ending its stream. */
const MAX_IDLE_MS = 120_000;

/** Answers until the input ends, or until nothing was asked for long. */
export async function answerCalls(
  socket: string,
  input: AsyncIterable<Uint8Array>,
  write: (line: string) => void,
): Promise<void> {
  const idle = setTimeout(() => process.exit(0), MAX_IDLE_MS);
  for await (const line of linesOfStream(input)) {
    idle.refresh();
    const { id, method, path } = JSON.parse(line) as BridgeCall;
    void answered(socket, method, path).then((answer) => write(printableJsonLines([{ id, ...answer }])));
  }
  clearTimeout(idle);
}

async function answered(socket: string, method: 'GET' | 'POST', path: string): Promise<Omit<BridgeAnswer, 'id'>> {
  try {
    return await ask(socket, method, path, DEADLINE_MS);
  } catch (error) {
    return { status: 0, body: errorMessage(error) };
  }
}
