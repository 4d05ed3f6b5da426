/** The request of one attempt at a backend: path, headers and body. Pure. */
import { ATTEMPT_LENGTH_HEADER } from '../../contract/headers.ts';
import type { ProviderRequest } from '../conversion/conversion.ts';
import type { HeaderList, HeaderMutation } from '../exchange.ts';
import type { Attempts } from './attempts.ts';
import { hideClientApi, setLabelHeaders } from './hidden-headers.ts';
import type { PreparedRequest, Request } from './request.ts';

/** What a backend gets of a request. */
export interface BackendRequest {
  readonly pieces: readonly Uint8Array[];
  readonly bodyBytes: number;
  /** Undefined: the client's. */
  readonly path: string | undefined;
  readonly converted: ProviderRequest | undefined;
  /** Undefined: the backend has no labels. */
  readonly labelHeaders: HeaderList | undefined;
}

/** Envoy starts each attempt with the headers that the attempt before it left. */
export function attemptMutation(
  request: Request,
  attempts: Attempts,
  { choice }: PreparedRequest,
  { pieces, bodyBytes, path, converted, labelHeaders }: BackendRequest,
): HeaderMutation {
  const set: (readonly [string, string])[] = [];
  const remove: string[] = [];
  if (converted !== undefined) {
    hideClientApi(request.headerList, remove);
    set.push(['content-type', 'application/json'], ...converted.headers);
  }
  if (labelHeaders !== undefined) {
    setLabelHeaders(labelHeaders, set, remove);
  }
  const changed = [...remove, ...set.map(([name]) => name)];
  for (const name of attempts.changedHeaders) {
    if (changed.includes(name)) {
      continue;
    }
    const values = request.header(name);
    if (values.length === 0) {
      remove.push(name);
    } else {
      set.push([name, values.join(', ')]);
    }
  }
  attempts.changedHeaders = changed;
  set.push([':path', rewritten(path ?? request.target, attempts.rewriteOf(choice))]);
  set.push([ATTEMPT_LENGTH_HEADER, String(bodyBytes)]);
  return { set, remove, body: pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, bodyBytes) };
}

function rewritten(path: string, rewrite: ReturnType<Attempts['rewriteOf']>): string {
  return rewrite !== undefined && path.startsWith(rewrite.from) ? rewrite.to + path.slice(rewrite.from.length) : path;
}
