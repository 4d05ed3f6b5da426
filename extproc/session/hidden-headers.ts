/**
 * Removes headers by prefix, which Envoy's routes cannot; Envoy removes the ones with fixed names.
 */
import {
  CLIENT_HEADER_PREFIXES,
  CONVERTED_HEADER_PREFIXES,
  LIMIT_HEADER_PREFIXES,
  OWN_HEADER_PREFIX,
  ROUTE_HEADER,
} from '../../contract/headers.ts';
import type { HeaderList } from '../exchange.ts';
import { VERTEX_LABELS_HEADER } from '../providers/labels.ts';

const ofClients = [OWN_HEADER_PREFIX, ...CLIENT_HEADER_PREFIXES];

/**
 * Collects the headers that no provider may receive. We have set the route header ourselves by
 * then.
 */
export function hideFromProvider(headers: HeaderList, remove: string[]): void {
  for (const [name] of headers) {
    if (name !== ROUTE_HEADER && beginsWith(name, ofClients)) {
      remove.push(name);
    }
  }
}

/** Collects the headers of a client API that the provider does not speak, such as its version. */
export function hideClientApi(headers: HeaderList, remove: string[]): void {
  for (const [name] of headers) {
    if (beginsWith(name, CONVERTED_HEADER_PREFIXES)) {
      remove.push(name);
    }
  }
}

/** Sets the headers with labels, in place of the client's; `set` may have them already. */
export function setLabelHeaders(labelHeaders: HeaderList, set: (readonly [string, string])[], remove: string[]): void {
  set.push(...labelHeaders);
  if (!set.some(([name]) => name === VERTEX_LABELS_HEADER)) {
    remove.push(VERTEX_LABELS_HEADER);
  }
}

/**
 * Collects the headers that no client may receive. `ours` are the limit headers that replace the
 * provider's.
 */
export function hideFromClient(headers: HeaderList, ours: HeaderList, remove: string[]): void {
  for (const [name] of headers) {
    if (name.startsWith(OWN_HEADER_PREFIX)) {
      remove.push(name);
    } else if (ours.length > 0 && beginsWith(name, LIMIT_HEADER_PREFIXES) && !ours.some(([own]) => own === name)) {
      remove.push(name);
    }
  }
}

/** Collects the headers that describe a response in the provider's API, which was converted. */
export function hideConvertedProvider(headers: HeaderList, remove: string[]): void {
  for (const [name] of headers) {
    if (beginsWith(name, CONVERTED_HEADER_PREFIXES) && !remove.includes(name)) {
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
