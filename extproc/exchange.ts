/**
 * One ext_proc stream as seen above the transport: Envoy's messages about one HTTP request come in
 * through `ExchangeHandler`, answers go out through `Exchange`. HTTP/2 framing, gRPC and protobuf
 * stay behind these two types.
 */

/**
 * Headers in order of arrival, with lower-case names and pseudo headers (`:path`). Values are
 * latin1-decoded bytes.
 */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** Returns the first value of a header, by its lower-case name. */
export function firstHeader(headers: HeaderList, name: string): string | undefined {
  // An index avoids the iterators of `for … of` and of destructuring, several for each header.
  for (let at = 0; at < headers.length; at++) {
    const header = headers[at]!;
    if (header[0] === name) {
      return header[1];
    }
  }
  return undefined;
}

/** Returns the length of all names and values. */
export function headerBytes(headers: HeaderList): number {
  let bytes = 0;
  for (const [name, value] of headers) {
    bytes += name.length + value.length;
  }
  return bytes;
}

/** Returns all values of a header, by its lower-case name. */
export function headerValues(headers: HeaderList, name: string): readonly string[] {
  const values: string[] = [];
  for (const [key, value] of headers) {
    if (key === name) {
      values.push(value);
    }
  }
  return values;
}

export interface HeaderMutation {
  /** Overwrites or adds these headers. */
  readonly set?: HeaderList;
  readonly remove?: readonly string[];
  /** Selects the route again (request headers only). */
  readonly clearRouteCache?: boolean;
  /**
   * Replaces the whole body, or adds one: of a response, which then ends, or of an attempt at a
   * backend, whose filter does not send the body.
   */
  readonly body?: Uint8Array;
  /** Sets Envoy's dynamic metadata: values by name, by namespace (request headers only). */
  readonly metadata?: MetadataStruct;
}

/** A `google.protobuf.Struct`, as far as it is used. */
export interface MetadataStruct {
  readonly [name: string]: MetadataValue;
}

export type MetadataValue = string | readonly MetadataValue[] | MetadataStruct;

export interface ImmediateResponse {
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: Uint8Array;
  /** For Envoy's access log. */
  readonly details: string;
}

/**
 * Calls come in wire order. None comes after `closed`, and no body after its end. Body pieces are
 * at most 64 KB. A piece of a request's body may be retained until
 * `releaseRequestBody`. A piece of a response's body is a
 * view of a reused buffer: copy it, or use it before the call returns.
 */
export interface ExchangeHandler {
  requestHeaders(headers: HeaderList, endOfStream: boolean, attributes: ReadonlyMap<string, string>): void;
  requestBody(bytes: Uint8Array, endOfStream: boolean): void;
  requestTrailers(): void;
  responseHeaders(headers: HeaderList, endOfStream: boolean, attributes: ReadonlyMap<string, string>): void;
  responseBody(bytes: Uint8Array, endOfStream: boolean): void;
  responseTrailers(): void;
  /** All output has left for the kernel, and `unsentBytes` is below the low mark again. */
  drained(): void;
  /**
   * Envoy ended the stream: cleanly (half-close), or not (reset, connection lost). Always the last
   * call, exactly once.
   */
  closed(clean: boolean): void;
}

/**
 * Output is collected and leaves at the end of the slice, after the server's `beforeFlush`. Calls
 * after `closed` are ignored.
 */
export interface Exchange {
  /**
   * The `traceparent` that Envoy sends with the call, where it traces the call. No header of the
   * client.
   */
  readonly traceParent: string | undefined;
  requestHeaders(mutation: HeaderMutation): void;
  /** `FULL_DUPLEX_STREAMED`: any number of calls, independent of the pieces received. */
  requestBody(bytes: Uint8Array, endOfStream: boolean): void;
  /**
   * Says that nobody uses the pieces of the request's body any more. Their memory is used again
   * once what was given to `requestBody` is sent.
   */
  releaseRequestBody(): void;
  requestTrailers(): void;
  responseHeaders(mutation: HeaderMutation): void;
  responseBody(bytes: Uint8Array, endOfStream: boolean): void;
  responseTrailers(): void;
  immediateResponse(response: ImmediateResponse): void;
  /** Gives the exchange to another handler: for an attempt at a backend of another exchange. */
  handOver(handler: ExchangeHandler): void;
  /**
   * Runs work that starts a request, now or a little later where many requests start. Dropped after
   * `closed`.
   */
  startRequest(work: () => void): void;
  /**
   * Calls `step` in time slices of the event loop until it returns 0, also after `closed`; else it
   * returns the bytes it worked on. `step` must not throw.
   */
  inSlices(step: () => number): void;
  /** Ends our side (grpc-status 0). Idempotent. */
  end(): void;
  /** Fails the stream (grpc-status 13) after an internal error. `closed` follows. */
  abort(): void;
  /**
   * Stop and resume crediting the peer's flow-control window for this stream. Messages that were
   * already credited may still come.
   */
  pause(): void;
  resume(): void;
  /** Bytes written and not yet accepted by the peer's window or the socket. */
  readonly unsentBytes: number;
}
