/** Ports that tests cannot choose, because a user's file or the program names them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { waitFor } from './wait.ts';

/** The longest that another test file may keep a port. */
const CLAIM_MS = 120_000;

/**
 * Waits for other test files that use the ports, and keeps them out until the returned function is
 * called or this process ends. A port that another program has taken is an error.
 */
export async function claimPorts(...ports: readonly number[]): Promise<() => void> {
  const claims: net.Server[] = [];
  // All claim in the same order, so that none waits for another in a circle.
  for (const port of ports.toSorted((a, b) => a - b)) {
    claims.push(await waitFor(`claim on port ${port}`, () => claim(port), CLAIM_MS));
    assert.ok(!(await isTaken(port)), `port ${port} is taken: the test needs it; end what listens there`);
  }
  return () => {
    for (const each of claims) {
      each.close();
    }
  };
}

/** The claim is an abstract socket, which ends with its process. */
async function claim(port: number): Promise<net.Server | undefined> {
  const server = net.createServer().listen(`\0tallygate-test-port-${port}`);
  try {
    await once(server, 'listening');
    return server.unref();
  } catch {
    return undefined;
  }
}

/** Returns whether something listens on the port. */
export function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
