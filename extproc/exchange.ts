/**
 * One ext_proc stream, as everything above the transport sees it: Envoy's messages about one HTTP request come in by `ExchangeHandler`,
 * answers go out by `Exchange`. The transport (HTTP/2 framing, gRPC, protobuf) stays behind these two types.
 */

/** Headers in order of arrival; names are lower case; pseudo headers (`:path`) are included. Values are latin1-decoded bytes. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

export interface HeaderMutation {
  /** Overwrites if there, else adds. */
  readonly set?: HeaderList;
  readonly remove?: readonly string[];
  /** Choose the route again (request headers only). */
  readonly clearRouteCache?: boolean;
  /** Takes the place of the whole body, of one that does not exist, too; nothing more is to be said then (response headers only). */
  readonly body?: Uint8Array;
}

export interface ImmediateResponse {
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: Uint8Array;
  /** For Envoy's access log. */
  readonly details: string;
}

/**
 * Calls come in wire order. None comes after `closed`, no body after its end. Body pieces are at most 64 KB. A piece of a request's body may be retained; a piece
 * of a response's body lies in a buffer that is used again: it must be copied, or used before the call returns.
 */
export interface ExchangeHandler {
  requestHeaders(headers: HeaderList, endOfStream: boolean, attributes: ReadonlyMap<string, string>): void;
  requestBody(bytes: Uint8Array, endOfStream: boolean): void;
  requestTrailers(): void;
  responseHeaders(headers: HeaderList, endOfStream: boolean, attributes: ReadonlyMap<string, string>): void;
  responseBody(bytes: Uint8Array, endOfStream: boolean): void;
  responseTrailers(): void;
  /** What was written has left for the kernel and `unsentBytes` is below the mark again. */
  drained(): void;
  /** Envoy has ended the stream: cleanly (half-close), or not (reset, connection lost). Always the last call, exactly once. */
  closed(clean: boolean): void;
}

/** Writes are gathered and leave at the end of the tick, after `beforeFlush` of the server has run. Calls after `closed` are ignored. */
export interface Exchange {
  requestHeaders(mutation: HeaderMutation): void;
  /** `FULL_DUPLEX_STREAMED`: any number of calls, independent of what came in. */
  requestBody(bytes: Uint8Array, endOfStream: boolean): void;
  requestTrailers(): void;
  responseHeaders(mutation: HeaderMutation): void;
  responseBody(bytes: Uint8Array, endOfStream: boolean): void;
  responseTrailers(): void;
  immediateResponse(response: ImmediateResponse): void;
  /** Work that begins a request: done at once, or a little later where many begin. Not done any more after `closed`. */
  startRequest(work: () => void): void;
  /** Ends our side (grpc-status 0). Idempotent. */
  end(): void;
  /** Gives this stream up with an error (grpc-status 13), after a fault of ours. `closed` follows. */
  abort(): void;
  /** Stop and resume crediting the peer's flow-control window for this stream: messages already credited may still come. */
  pause(): void;
  resume(): void;
  /** Bytes written and not yet accepted by the peer's window or the socket. */
  readonly unsentBytes: number;
}
