/** Headers that go by how they begin, which Envoy's routes cannot say; those with whole names are Envoy's to remove. */
import {
  CLIENT_HEADER_PREFIXES,
  LIMIT_HEADER_PREFIXES,
  OWN_HEADER_PREFIX,
  ROUTE_HEADER,
} from '../../contract/headers.ts';
import type { HeaderList } from '../exchange.ts';

const ofClients = [OWN_HEADER_PREFIX, ...CLIENT_HEADER_PREFIXES];

/** Collects what no provider gets. The route header is ours by then. */
export function hideFromProvider(headers: HeaderList, remove: string[]): void {
  for (const [name] of headers) {
    if (name !== ROUTE_HEADER && beginsWith(name, ofClients)) {
      remove.push(name);
    }
  }
}

/** Collects what no client gets. `ours`: the limits that it is told in their place. */
export function hideFromClient(headers: HeaderList, ours: HeaderList, remove: string[]): void {
  for (const [name] of headers) {
    if (name.startsWith(OWN_HEADER_PREFIX)) {
      remove.push(name);
    } else if (ours.length > 0 && beginsWith(name, LIMIT_HEADER_PREFIXES) && !ours.some(([own]) => own === name)) {
      remove.push(name);
    }
  }
}

function beginsWith(name: string, prefixes: readonly string[]): boolean {
  for (const prefix of prefixes) {
    if (name.startsWith(prefix)) {
      return true;
    }
  }
  return false;
}
