/**
 * Serializes the plan's Envoy configuration as files, in the order in which they must be written.
 */
import type { EnvoyOptions, JsonObject, Plan } from '../plan.ts';
import { bootstrap, clustersFile, listenersFile } from './bootstrap.ts';
import { fileOf, typed } from './resource.ts';
import { secretResource } from './secrets.ts';

export interface EnvoyFile {
  /** Relative to `EnvoyOptions.directory`. */
  readonly name: string;
  readonly text: string;
  /** Secrets are readable only by their owner. */
  readonly mode: 0o600 | 0o644;
}

export const BOOTSTRAP_FILE = 'bootstrap.json';

export function bootstrapText(options: EnvoyOptions): string {
  return json(bootstrap(options));
}

/**
 * Returns the files in order: secrets, clusters, filters, routes, listeners, so that every
 * reference resolves. Write a file only if its text differs: to a temporary name, then rename it
 * into place, which makes Envoy reload it. Remove files that are no longer listed after the last
 * one is in place.
 */
export function envoyFiles(plan: Plan): readonly EnvoyFile[] {
  const { envoy, secrets } = plan;
  return [
    ...secrets.map((secret) => file(fileOf('secret', secret.name), [secretResource(secret)], 0o600)),
    file(
      clustersFile,
      envoy.clusters.map((each) => typed('envoy.config.cluster.v3.Cluster', each)),
    ),
    ...envoy.extensions.map((each) =>
      file(fileOf('extension', each.name), [typed('envoy.config.core.v3.TypedExtensionConfig', each)]),
    ),
    ...envoy.routes.map((each) =>
      file(fileOf('route', each.name), [typed('envoy.config.route.v3.RouteConfiguration', each)]),
    ),
    file(
      listenersFile,
      envoy.listeners.map((each) => typed('envoy.config.listener.v3.Listener', each)),
    ),
  ];
}

function file(name: string, resources: readonly JsonObject[], mode: EnvoyFile['mode'] = 0o644): EnvoyFile {
  return { name, text: json({ resources }), mode };
}

function json(value: JsonObject): string {
  return `${JSON.stringify(value, undefined, 1)}\n`;
}
