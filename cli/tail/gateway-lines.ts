/** The access lines of a gateway on this machine, also after it has started again. */
import { setTimeout as after } from 'node:timers/promises';
import { GatewayAway, streamedLines } from '../quota-client.ts';

/**
 * Yields the lines without end. Throws if no gateway runs at first, or if it refuses. Calls `tell`
 * when the gateway ends and when it runs again: the lines between have gone elsewhere.
 */
export async function* linesOfGateway(
  socket: string,
  retryMs: number,
  tell: (text: string) => void,
): AsyncGenerator<string> {
  let state: 'first' | 'open' | 'away' = 'first';
  const onOpen = () => {
    if (state === 'away') {
      tell('the gateway runs again');
    }
    state = 'open';
  };
  const isOpen = () => state === 'open';
  for (;;) {
    try {
      yield* streamedLines(socket, '/lines', 0, onOpen);
    } catch (error) {
      if (state === 'first' || !(error instanceof GatewayAway)) {
        throw error;
      }
    }
    if (isOpen()) {
      state = 'away';
      tell('the gateway has ended; waiting until it runs again');
    }
    await after(retryMs);
  }
}
