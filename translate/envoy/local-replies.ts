/** Answers that Envoy writes itself, in the error shape of the provider whose client asked: also when extproc is dead. */
import { REPLY_HEADER } from '../../contract/headers.ts';
import { errorTypes, type LocalReply, localReplies } from '../../contract/refusals.ts';
import type { Json, JsonObject } from '../plan.ts';
import { typed } from './resource.ts';

interface Shape {
  readonly asked: string;
  readonly body: (reply: LocalReply) => { readonly [name: string]: Json };
}

const shapes: readonly Shape[] = [
  {
    asked: "(request.path.startsWith('/v1/messages') || 'anthropic-version' in request.headers)",
    body: ({ kind, code, message }) => ({ type: 'error', error: { type: errorTypes.anthropic[kind], message, code } }),
  },
  {
    asked: "(request.path.startsWith('/generate') || request.path == '/')",
    body: ({ kind, code, message }) => ({ error: message, error_type: errorTypes.tgi[kind], code }),
  },
  {
    asked: 'true',
    body: ({ kind, code, message }) => ({ error: { message, type: errorTypes.openai[kind], param: null, code } }),
  },
];

/** extproc's own refusals have a content type already when Envoy comes here; Envoy's do not. */
const envoysOwn = "!('content-type' in response.headers)";

/** Why a backend could not be reached, for the access line. */
const told: JsonObject = {
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
              expression: `${envoysOwn} && ${shape.asked} && response.code >= ${reply.from} && response.code <= ${reply.to}`,
            }),
          },
        },
        ...(reply.from >= 500 && { headers_to_add: [told] }),
        body_format_override: {
          text_format_source: { inline_string: JSON.stringify(shape.body(reply)).replaceAll('%', '%%') },
          content_type: 'application/json',
        },
      })),
    ),
  };
}
