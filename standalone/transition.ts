/**
 * The Envoy configuration between an old and a new one, which works with both policies of extproc:
 * it contains everything that either policy may refer to. Pure.
 */
import type { EnvoyConfig, JsonObject, NamedResource } from '../translate/plan.ts';

export function transition(before: EnvoyConfig, after: EnvoyConfig): EnvoyConfig {
  return {
    listeners: before.listeners,
    routes: union(before.routes, after.routes, mergedRoutes),
    clusters: union(before.clusters, after.clusters, (_, newer) => newer),
    extensions: union(before.extensions, after.extensions, mergedExtension),
  };
}

/** Merges resources of the same name, and keeps all others. */
function union<T extends { readonly name: string }>(
  before: readonly T[],
  after: readonly T[],
  merge: (older: T, newer: T) => T,
): readonly T[] {
  const olderByName = new Map(before.map((each) => [each.name, each]));
  const names = new Set(after.map(({ name }) => name));
  const merged = after.map((newer) => {
    const older = olderByName.get(newer.name);
    return older === undefined ? newer : merge(older, newer);
  });
  return [...merged, ...before.filter(({ name }) => !names.has(name))];
}

interface EnvoyVirtualHost extends NamedResource {
  readonly domains: readonly string[];
  readonly routes: readonly NamedResource[];
}

function mergedRoutes(older: NamedResource, newer: NamedResource): NamedResource {
  const hosts = (each: NamedResource) => each['virtual_hosts'] as unknown as readonly EnvoyVirtualHost[];
  const domains = new Set(hosts(newer).flatMap((host) => host.domains));
  // Envoy refuses a domain that occurs in two virtual hosts.
  const kept = hosts(older).filter(
    (host) =>
      hosts(newer).some(({ name }) => name === host.name) || !host.domains.some((domain) => domains.has(domain)),
  );
  return { ...newer, virtual_hosts: union(kept, hosts(newer), mergedHost) };
}

function mergedHost(older: EnvoyVirtualHost, newer: EnvoyVirtualHost): EnvoyVirtualHost {
  const names = new Set(newer.routes.map(({ name }) => name));
  const [entry, ...rest] = newer.routes;
  if (entry === undefined) {
    return older;
  }
  // Routes to targets match one header exactly, so their order does not matter. The last route of a
  // virtual host matches every request.
  return { ...newer, routes: [entry, ...older.routes.slice(1).filter(({ name }) => !names.has(name)), ...rest] };
}

const EXT_PROC = 'type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor';

/** Merges a filter by its type. A filter of any other type gets its new configuration at once. */
function mergedExtension(older: NamedResource, newer: NamedResource): NamedResource {
  const [before, after] = [older, newer].map((each) => each['typed_config'] as JsonObject);
  if (before?.['@type'] !== after?.['@type']) {
    return newer;
  }
  switch (after?.['@type']) {
    case EXT_PROC:
      return { ...newer, typed_config: mergedProcessor(before ?? {}, after) };
    default:
      return newer;
  }
}

/** Forwards to extproc the headers that either policy reads. */
function mergedProcessor(older: JsonObject, newer: JsonObject): JsonObject {
  const texts = new Map([...patterns(older), ...patterns(newer)].map((pattern) => [JSON.stringify(pattern), pattern]));
  return { ...newer, forward_rules: { allowed_headers: { patterns: [...texts.values()] } } };
}

function patterns(processor: JsonObject): readonly JsonObject[] {
  const rules = processor['forward_rules'] as JsonObject;
  return (rules['allowed_headers'] as JsonObject)['patterns'] as readonly JsonObject[];
}
