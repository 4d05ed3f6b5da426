/** Envoy's local replies in the error format of the client's API, even if extproc is down. */
import { REPLY_HEADER } from '../../contract/headers.ts';
import { errorTypes, type LocalReply, localReplies } from '../../contract/refusals.ts';
import type { Json, JsonObject } from '../plan.ts';
import { typed } from './resource.ts';

interface ReplyShape {
  /** CEL condition on the request. */
  readonly condition: string;
  readonly body: (reply: LocalReply) => { readonly [name: string]: Json };
}

const GOOGLE_METHODS = [
  ...['generateContent', 'streamGenerateContent', 'countTokens', 'embedContent', 'batchEmbedContents'],
];

/** Envoy replaces it by the status. */
const STATUS = '%RESPONSE_CODE%';

const shapes: readonly ReplyShape[] = [
  {
    condition: "(request.path.startsWith('/v1/messages') || 'anthropic-version' in request.headers)",
    body: ({ kind, code, message }) => ({ type: 'error', error: { type: errorTypes.anthropic[kind], message, code } }),
  },
  {
    condition: "(request.path.startsWith('/generate') || request.path == '/')",
    body: ({ kind, code, message }) => ({ error: message, error_type: errorTypes.tgi[kind], code }),
  },
  {
    condition: `('x-goog-api-client' in request.headers || request.path.startsWith('/v1beta') || ${GOOGLE_METHODS.map((name) => `request.path.contains(':${name}')`).join(' || ')})`,
    body: ({ kind, code, message }) => ({
      error: {
        code: STATUS,
        message,
        status: errorTypes.google[kind],
        details: [
          { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: code.toUpperCase(), domain: 'tallygate.dev' },
        ],
      },
    }),
  },
  {
    condition: 'true',
    body: ({ kind, code, message }) => ({ error: { message, type: errorTypes.openai[kind], param: null, code } }),
  },
];

/** extproc's replies already have a content type; Envoy's do not. */
const isLocalReply = "!('content-type' in response.headers)";

/** The cause of an upstream failure, for the access line. */
const failureCause: JsonObject = {
  header: {
    key: REPLY_HEADER,
    value: '%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON%',
  },
  append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
};

export function localReplyConfig(): JsonObject {
  return {
    mappers: shapes.flatMap((shape) =>
      localReplies.map((reply) => ({
        filter: {
          extension_filter: {
            name: 'envoy.access_loggers.extension_filters.cel',
            typed_config: typed('envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter', {
              expression: `${isLocalReply} && ${shape.condition} && response.code >= ${reply.from} && response.code <= ${reply.to}`,
            }),
          },
        },
        ...(reply.from >= 500 && { headers_to_add: [failureCause] }),
        body_format_override: {
          text_format_source: { inline_string: textFormat(shape.body(reply)) },
          content_type: 'application/json',
        },
      })),
    ),
  };
}

function textFormat(body: JsonObject): string {
  const pieces = JSON.stringify(body).split(`"${STATUS}"`);
  return pieces.map((text) => text.replaceAll('%', '%%')).join(STATUS);
}
