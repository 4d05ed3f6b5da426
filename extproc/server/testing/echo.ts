/** The empty processor: answers every message without a change. */

import type { Exchange, ExchangeHandler } from '../../exchange.ts';

export function echo(exchange: Exchange): ExchangeHandler {
  return {
    requestHeaders: () => exchange.requestHeaders({}),
    requestBody: (bytes, endOfStream) => exchange.requestBody(bytes, endOfStream),
    requestTrailers: () => exchange.requestTrailers(),
    responseHeaders: () => exchange.responseHeaders({}),
    responseBody: (bytes, endOfStream) => exchange.responseBody(bytes, endOfStream),
    responseTrailers: () => exchange.responseTrailers(),
    drained: () => {},
    closed: () => {},
  };
}
