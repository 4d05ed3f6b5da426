/** A TCP proxy for tests that delays, stops or cuts what passes. */
import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';

export interface SlowProxy {
  readonly port: number;
  /** One way, so a round trip takes twice as long. Infinity: nothing passes. */
  delayMs: number;
  /** Ends all connections. */
  cut(): void;
  close(): Promise<void>;
}

export async function startSlowProxy(targetPort: number, delayMs = 0): Promise<SlowProxy> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const target = createConnection(targetPort, '127.0.0.1');
    pass(client, target);
    pass(target, client);
  });
  const pass = (from: Socket, to: Socket) => {
    sockets.add(from);
    from.setNoDelay(true);
    from.on('data', (chunk) => {
      if (proxy.delayMs === 0) {
        to.write(chunk);
      } else if (Number.isFinite(proxy.delayMs)) {
        setTimeout(() => to.write(chunk), proxy.delayMs);
      }
    });
    from.on('error', () => {});
    from.on('close', () => {
      sockets.delete(from);
      to.destroy();
    });
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy: SlowProxy = {
    port: (server.address() as { readonly port: number }).port,
    delayMs,
    cut() {
      for (const socket of sockets) {
        socket.destroy();
      }
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      proxy.cut();
      await closed;
    },
  };
  return proxy;
}
