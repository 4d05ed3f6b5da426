/**
 * Checks whether the listeners of a plan can be bound. Envoy would silently share a port with
 * another Envoy.
 */
import { createServer } from 'node:net';
import type { JsonObject, Plan } from '../translate/plan.ts';
import { OperatorError } from './operator-error.ts';

export function listenerPorts({ envoy }: Plan): readonly number[] {
  return envoy.listeners.map((listener) => {
    const { socket_address } = listener['address'] as { readonly socket_address: JsonObject };
    return Number(socket_address['port_value']);
  });
}

/** Throws an OperatorError for the first port that cannot be bound. */
export async function checkPorts(address: string, ports: readonly number[]): Promise<void> {
  for (const port of ports) {
    const code = await bindError(address, port);
    if (code === undefined) {
      continue;
    }
    const where = `${address}:${port}`;
    if (code === 'EADDRINUSE') {
      throw new OperatorError(
        `${where} is in use by another program; end it, or change the listener's port in the Gateway`,
      );
    }
    if (code === 'EACCES') {
      throw new OperatorError(`this user may not bind ${where}; choose a port above 1023 in the Gateway`);
    }
    throw new OperatorError(`${where} cannot be bound (${code}); correct the address or the listener's port`);
  }
}

function bindError(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? String(error)));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}
