import type { Exchange } from '../exchange.ts';
import type { Action, AttemptAction, ServiceAction } from './protocol.ts';

/** Sends a message of a session to Envoy. Returns an action that is none. */
export function answerEnvoy(exchange: Exchange, action: Action): ServiceAction | AttemptAction | undefined {
  switch (action.type) {
    case 'request-headers':
      exchange.requestHeaders(action.mutation);
      break;
    case 'request-body':
      exchange.requestBody(action.bytes, action.endOfStream);
      break;
    case 'request-trailers':
      exchange.requestTrailers();
      break;
    case 'response-headers':
      exchange.responseHeaders(action.mutation);
      break;
    case 'response-body':
      exchange.responseBody(action.bytes, action.endOfStream);
      break;
    case 'response-trailers':
      exchange.responseTrailers();
      break;
    case 'immediate-response':
      exchange.immediateResponse(action.response);
      break;
    case 'end':
      exchange.end();
      break;
    case 'abort':
      exchange.abort();
      break;
    default:
      return action;
  }
  return undefined;
}
