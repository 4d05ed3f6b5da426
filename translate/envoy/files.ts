/** The plan's Envoy configuration as files: text by name, in the order in which they must come into place. */
import type { EnvoyOptions, JsonObject, Plan } from '../plan.ts';
import { bootstrap, clustersFile, listenersFile } from './bootstrap.ts';
import { fileOf, typed } from './resource.ts';
import { secretResource } from './secrets.ts';

export interface EnvoyFile {
  /** In `EnvoyOptions.directory`. */
  readonly name: string;
  readonly text: string;
  /** Secrets are for their owner only. */
  readonly mode: 0o600 | 0o644;
}

export const bootstrapFile = 'bootstrap.json';

export function bootstrapText(options: EnvoyOptions): string {
  return json(bootstrap(options));
}

/**
 * In order: secrets, clusters, the filter, routes, listeners, so that nothing names what is not there yet. Write a file only where its text differs, beside
 * its place, and rename it into place: Envoy reads it then. Files that are not in the list any more may be removed after the last one is in place.
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
