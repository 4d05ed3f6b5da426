/** The ext_proc filter. Listeners find it by name, so that a new header in a policy leaves them, and the streams on them, alone. */
import {
  CLIENT_HEADER_PREFIXES,
  LIMIT_HEADER_PREFIXES,
  OWN_HEADER_PREFIX,
  PROVIDER_REQUEST_ID_HEADERS,
  ROUTE_NAME_ATTRIBUTE,
} from '../../contract/headers.ts';
import type { LinkedEntry } from '../entries.ts';
import { extprocCluster, extprocFilter } from '../names.ts';
import type { JsonObject, NamedResource } from '../plan.ts';
import type { LinkedPolicy } from '../quotas.ts';
import { compare } from '../report.ts';
import { typed } from './resource.ts';

/** Headers of requests and answers that extproc always reads; others are not sent to it, for each costs time. */
const forwarded = [
  ':method',
  ':path',
  ':status',
  'accept-encoding',
  'anthropic-version',
  'content-encoding',
  'content-length',
  'content-type',
  ...PROVIDER_REQUEST_ID_HEADERS,
];

/** Those that it removes by how they begin. */
const forwardedPrefixes = [OWN_HEADER_PREFIX, ...CLIENT_HEADER_PREFIXES, ...LIMIT_HEADER_PREFIXES];

export function extensions(
  entries: readonly LinkedEntry[],
  policies: readonly LinkedPolicy[],
): readonly NamedResource[] {
  const named = [
    ...entries.flatMap(({ rules }) => rules.flatMap(({ rule }) => rule.headers.map(({ name }) => name))),
    ...policies.flatMap(({ quotas }) =>
      quotas.flatMap(({ key }) => key.flatMap((part) => ('name' in part ? [part.name] : []))),
    ),
  ];
  return [{ name: extprocFilter, typed_config: processor([...new Set([...forwarded, ...named])].toSorted(compare)) }];
}

function processor(headers: readonly string[]): JsonObject {
  return typed('envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor', {
    stat_prefix: 'tallygate',
    grpc_service: { envoy_grpc: { cluster_name: extprocCluster } },
    failure_mode_allow: false,
    // Else both sides get chunks, which not every provider takes and which cost each of them more. extproc sees to it that the length is right.
    allow_content_length_header: true,
    status_on_error: { code: 503 },
    processing_mode: {
      request_header_mode: 'SEND',
      response_header_mode: 'SEND',
      request_body_mode: 'FULL_DUPLEX_STREAMED',
      response_body_mode: 'FULL_DUPLEX_STREAMED',
      request_trailer_mode: 'SEND',
      response_trailer_mode: 'SEND',
    },
    // For messages without a body, where the mode has a time: longer than a request may wait in a queue (60 s).
    message_timeout: '120s',
    request_attributes: [ROUTE_NAME_ATTRIBUTE],
    forward_rules: {
      allowed_headers: {
        patterns: [
          ...headers.map((exact) => ({ exact, ignore_case: true })),
          ...forwardedPrefixes.map((prefix) => ({ prefix, ignore_case: true })),
        ],
      },
    },
  });
}
