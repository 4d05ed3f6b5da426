/** CORS: Envoy's cors filter, enabled where a route has the setting. Answers preflight requests. */
import type { RouteCors } from '../../crds/route.ts';
import { CORS_FILTER } from '../names.ts';
import type { JsonObject } from '../plan.ts';
import { type HttpFilterResource, typed } from './resource.ts';

export const corsFilter: HttpFilterResource = {
  name: CORS_FILTER,
  typed_config: typed('envoy.extensions.filters.http.cors.v3.Cors', {}),
};

/** Enables the filter on a virtual host. */
export function corsConfig(cors: RouteCors): JsonObject {
  const { allowOrigins, allowMethods, allowHeaders, exposeHeaders = [], maxAge, allowCredentials } = cors;
  return typed('envoy.config.route.v3.FilterConfig', {
    config: typed('envoy.extensions.filters.http.cors.v3.CorsPolicy', {
      allow_origin_string_match: allowOrigins.map(originMatch),
      allow_methods: allowMethods.join(', '),
      allow_headers: allowHeaders.join(', '),
      ...(exposeHeaders.length > 0 && { expose_headers: exposeHeaders.join(', ') }),
      max_age: `${maxAge}`,
      allow_credentials: allowCredentials,
      // Otherwise extproc would answer them.
      forward_not_matching_preflights: false,
    }),
  });
}

/** `*` stands for the labels of subdomains; alone, it allows every origin. */
function originMatch(origin: string): JsonObject {
  const [before = '', after] = origin.split('*');
  return after === undefined || origin === '*'
    ? { exact: origin }
    : { safe_regex: { regex: `${quoted(before)}[A-Za-z0-9.-]+${quoted(after)}` } };
}

function quoted(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
