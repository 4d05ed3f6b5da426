/**
 * `node tools/empty-processor.ts SOCKET` serves ext_proc on the transport of the data plane and
 * returns every byte as it came: a request once it is complete, as the data plane does, a response
 * piece by piece. `make bench` measures the limit of the transport with it.
 */
import type { Exchange, ExchangeHandler } from '../extproc/exchange.ts';
import { startServer } from '../extproc/server/server.ts';

function returnBytes(exchange: Exchange): ExchangeHandler {
  const pieces: Uint8Array[] = [];
  const passOn = () => {
    exchange.requestHeaders({});
    for (const [index, piece] of pieces.entries()) {
      exchange.requestBody(piece, index === pieces.length - 1);
    }
    exchange.releaseRequestBody();
  };
  return {
    requestHeaders(_headers, endOfStream) {
      if (endOfStream) {
        exchange.requestHeaders({});
      }
    },
    requestBody(bytes, endOfStream) {
      pieces.push(bytes);
      if (endOfStream) {
        passOn();
      }
    },
    requestTrailers() {
      throw new Error('the load programs send no trailers');
    },
    responseHeaders: () => exchange.responseHeaders({}),
    responseBody: (bytes, endOfStream) => exchange.responseBody(bytes, endOfStream),
    responseTrailers: () => exchange.responseTrailers(),
    drained() {},
    closed() {},
  };
}

const path = process.argv[2];
if (path === undefined) {
  throw new Error('usage: node tools/empty-processor.ts SOCKET');
}
await startServer({ path, handler: returnBytes, beforeFlush() {} });
