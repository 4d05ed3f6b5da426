/** A client of Envoy's admin interface. */
import { ask } from '../runtime/unix-http.ts';

const DEADLINE_MS = 2000;

export interface EnvoyAdmin {
  /** Whether Envoy has its listeners and accepts requests. */
  isLive(): Promise<boolean>;
  /**
   * Version and number of rejections, by the subscription's name in Envoy's statistics
   * (`cluster_manager.cds`).
   */
  subscriptions(): Promise<ReadonlyMap<string, Subscription>>;
  /** Asks clients to disconnect after their next response. */
  startDrain(): Promise<void>;
  /** Stops accepting connections. */
  stopListening(): Promise<void>;
  openRequests(): Promise<number>;
}

export interface Subscription {
  readonly version: string;
  readonly rejected: number;
}

export function envoyAdmin(socketPath: string): EnvoyAdmin {
  const stats = async (filter: string) => {
    const { status, body } = await ask(
      socketPath,
      'GET',
      `/stats?format=json&filter=${encodeURIComponent(filter)}`,
      DEADLINE_MS,
    );
    if (status !== 200) {
      throw new Error(`Envoy's admin interface responded with ${status}`);
    }
    return (JSON.parse(body) as { readonly stats: readonly { readonly name?: string; readonly value?: unknown }[] })
      .stats;
  };
  const post = async (path: string) => {
    const { status } = await ask(socketPath, 'POST', path, DEADLINE_MS);
    if (status !== 200) {
      throw new Error(`Envoy's admin interface responded with ${status} to ${path}`);
    }
  };
  return {
    isLive: () =>
      ask(socketPath, 'GET', '/ready', DEADLINE_MS).then(
        ({ status }) => status === 200,
        () => false,
      ),
    async subscriptions() {
      const found = new Map<string, { version: string; rejected: number }>();
      for (const { name = '', value } of await stats('\\.(version_text|update_rejected)$')) {
        const end = name.lastIndexOf('.');
        const key = name.slice(0, end);
        const one = found.get(key) ?? { version: '', rejected: 0 };
        found.set(key, one);
        if (name.endsWith('.version_text')) {
          one.version = String(value);
        } else {
          one.rejected = Number(value);
        }
      }
      return found;
    },
    startDrain: () => post('/drain_listeners?graceful&skip_exit'),
    stopListening: () => post('/drain_listeners'),
    async openRequests() {
      const counts = await stats('^http\\.tallygate\\.downstream_rq_active$');
      return counts.reduce((sum, { value }) => sum + Number(value ?? 0), 0);
    },
  };
}
