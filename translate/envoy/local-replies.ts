/** Answers that Envoy writes itself, in the error shape of the provider whose client asked: also when extproc is dead. */
import type { Json, JsonObject } from '../plan.ts';
import { typed } from './resource.ts';

interface Reply {
  readonly statuses: string;
  readonly code: string;
  readonly message: string;
  readonly openai: string;
  readonly anthropic: string;
  readonly tgi: string;
}

/** In this order; the last takes what is left. */
const replies: readonly Reply[] = [
  {
    statuses: 'response.code == 404',
    code: 'unknown_endpoint',
    message: 'The gateway does not serve this path.',
    openai: 'invalid_request_error',
    anthropic: 'not_found_error',
    tgi: 'not_found',
  },
  {
    statuses: 'response.code == 403',
    code: 'forbidden',
    message: 'The gateway does not allow this request (connection upgrades are not served).',
    openai: 'invalid_request_error',
    anthropic: 'permission_error',
    tgi: 'forbidden',
  },
  {
    statuses: 'response.code == 413',
    code: 'request_too_large',
    message: 'The request is larger than the gateway takes.',
    openai: 'invalid_request_error',
    anthropic: 'request_too_large',
    tgi: 'validation',
  },
  {
    statuses: 'response.code == 429',
    code: 'request_rate_exceeded',
    message: 'Too many requests at the moment.',
    openai: 'rate_limit_error',
    anthropic: 'rate_limit_error',
    tgi: 'overloaded',
  },
  {
    statuses: 'response.code == 503',
    code: 'backend_unavailable',
    message: 'The gateway or the model provider cannot be reached at the moment; try again.',
    openai: 'server_error',
    anthropic: 'overloaded_error',
    tgi: 'overloaded',
  },
  {
    statuses: 'response.code == 504 || response.code == 408',
    code: 'timeout',
    message: 'The request took longer than the gateway allows.',
    openai: 'server_error',
    anthropic: 'timeout_error',
    tgi: 'timeout',
  },
  {
    statuses: 'response.code < 500',
    code: 'invalid_request',
    message: 'The gateway cannot read this request.',
    openai: 'invalid_request_error',
    anthropic: 'invalid_request_error',
    tgi: 'validation',
  },
  {
    statuses: 'true',
    code: 'internal_error',
    message: 'The gateway failed to serve this request; try again.',
    openai: 'server_error',
    anthropic: 'api_error',
    tgi: 'internal',
  },
];

interface Shape {
  readonly asked: string;
  readonly body: (reply: Reply) => { readonly [name: string]: Json };
}

const shapes: readonly Shape[] = [
  {
    asked: "(request.path.startsWith('/v1/messages') || 'anthropic-version' in request.headers)",
    body: ({ anthropic, message }) => ({ type: 'error', error: { type: anthropic, message } }),
  },
  {
    asked: "(request.path.startsWith('/generate') || request.path == '/')",
    body: ({ tgi, message }) => ({ error: message, error_type: tgi }),
  },
  {
    asked: 'true',
    body: ({ openai, code, message }) => ({ error: { message, type: openai, param: null, code } }),
  },
];

/** extproc's own refusals have a content type already when Envoy comes here; Envoy's do not. */
const envoysOwn = "!('content-type' in response.headers)";

export function localReplies(): JsonObject {
  return {
    mappers: shapes.flatMap((shape) =>
      replies.map((reply) => ({
        filter: {
          extension_filter: {
            name: 'envoy.access_loggers.extension_filters.cel',
            typed_config: typed('envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter', {
              expression: `${envoysOwn} && ${shape.asked} && (${reply.statuses})`,
            }),
          },
        },
        body_format_override: {
          text_format_source: { inline_string: JSON.stringify(shape.body(reply)).replaceAll('%', '%%') },
          content_type: 'application/json',
        },
      })),
    ),
  };
}
