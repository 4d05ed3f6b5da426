/**
 * Verifies in a dump of Envoy's configuration that every route that a policy names passes this
 * sidecar. Pure. A configuration that is wrong or cannot be understood counts as not verified.
 */

/** The parts of Envoy's `/config_dump` that are read, in their JSON form. */
export interface EnvoyConfigDump {
  readonly listeners: Dump<DynamicListener>;
  readonly routes: Dump<{ readonly route_config?: RouteConfiguration }>;
  /** Of the clusters that are named like processors. */
  readonly endpoints: Dump<{ readonly endpoint_config?: LoadAssignment }>;
}

interface Dump<T> {
  readonly configs?: readonly T[];
}

export interface AffectedNames {
  readonly total: number;
  readonly names: string[];
}

export interface ConfigCheckResult {
  readonly expected: number;
  /** Routes in no route configuration that a listener uses. */
  readonly missing: AffectedNames;
  /** Routes that exist without this sidecar's filter enabled. */
  readonly unfiltered: AffectedNames;
  /** Routes that Envoy answers with its own 500. */
  readonly failing: AffectedNames;
  readonly listenersWithoutFilter: AffectedNames;
}

/** Enough to find the fault, and few enough for a status message. */
const MAX_NAMES = 20;
const MAX_NAME_CHARACTERS = 300;

export function verifyConfigDump(
  configuration: EnvoyConfigDump,
  routeNames: readonly string[],
  socketPath: string,
  attemptRoutes: readonly string[] = [],
): ConfigCheckResult {
  const clusters = clustersOfSocket(socketPath, configuration.endpoints);
  const managers = (configuration.listeners.configs ?? []).flatMap((listener) => managersOf(listener, clusters));
  const inline = managers.flatMap(({ inlineRoutes }) => (inlineRoutes === undefined ? [] : [inlineRoutes]));
  const discovered = (configuration.routes.configs ?? []).flatMap((each) => each.route_config ?? []);
  const expected = new Set(routeNames);
  const unpatched = new Set(attemptRoutes);
  const found = new Set<string>();
  const unfiltered = new Set<string>();
  const failing = new Set<string>();
  const listenersWithoutFilter = new Set<string>();
  for (const routes of [...discovered, ...inline]) {
    const users = managers.filter((each) => each.inlineRoutes === routes || each.routeConfigName === routes.name);
    if (users.length === 0) {
      continue;
    }
    for (const host of routes.virtual_hosts ?? []) {
      for (const route of host.routes ?? []) {
        const name = route.name ?? '';
        if (unpatched.size > 0 && route.route?.inline_cluster_specifier_plugin !== undefined) {
          unpatched.delete(route.match?.headers?.[0]?.string_match?.exact ?? '');
        }
        if (!expected.has(name)) {
          continue;
        }
        found.add(name);
        if (isFailure(route)) {
          failing.add(name);
        }
        const overrides = [route.typed_per_filter_config, host.typed_per_filter_config, routes.typed_per_filter_config];
        for (const { listener, filters } of users) {
          if (filters.length === 0) {
            listenersWithoutFilter.add(listener);
          }
          const filtered = filters.some((filter) => isEnabled(filter, overrides, clusters));
          if (!filtered && !failing.has(name)) {
            unfiltered.add(name);
          }
        }
      }
    }
  }
  const missing = [...[...expected].filter((name) => !found.has(name)), ...unpatched];
  return {
    expected: expected.size,
    missing: affected(missing),
    unfiltered: affected([...unfiltered]),
    failing: affected([...failing]),
    listenersWithoutFilter: affected([...listenersWithoutFilter]),
  };
}

function affected(names: readonly string[]): AffectedNames {
  const first = names.toSorted().slice(0, MAX_NAMES);
  return { total: names.length, names: first.map((name) => name.slice(0, MAX_NAME_CHARACTERS)) };
}

interface LoadAssignment {
  readonly cluster_name?: string;
  readonly endpoints?: readonly {
    readonly lb_endpoints?: readonly {
      readonly endpoint?: { readonly address?: { readonly pipe?: { readonly path?: string } } };
    }[];
  }[];
}

/** A cluster is recognized by this sidecar's socket, because anybody may choose its name. */
function clustersOfSocket(socketPath: string, dump: EnvoyConfigDump['endpoints']): ReadonlySet<string> {
  const names = (dump.configs ?? []).flatMap(({ endpoint_config: assignment }) => {
    const paths = (assignment?.endpoints ?? [])
      .flatMap((each) => each.lb_endpoints ?? [])
      .map(({ endpoint }) => endpoint?.address?.pipe?.path);
    const ours = paths.length > 0 && paths.every((path) => path === socketPath);
    return ours && assignment?.cluster_name !== undefined ? [assignment.cluster_name] : [];
  });
  return new Set(names);
}

interface DynamicListener {
  readonly name?: string;
  readonly active_state?: {
    readonly listener?: {
      readonly name?: string;
      readonly filter_chains?: readonly FilterChain[];
      readonly default_filter_chain?: FilterChain;
    };
  };
}

interface FilterChain {
  readonly filters?: readonly { readonly typed_config?: ConnectionManager }[];
}

interface ConnectionManager {
  readonly rds?: { readonly route_config_name?: string };
  readonly route_config?: RouteConfiguration;
  readonly http_filters?: readonly HttpFilter[];
}

interface HttpFilter {
  readonly name?: string;
  readonly disabled?: boolean;
  readonly typed_config?: ExternalProcessor;
}

interface ExternalProcessor {
  readonly '@type'?: string;
  readonly grpc_service?: GrpcService;
  readonly processing_mode?: Readonly<Record<string, string>>;
  readonly observability_mode?: boolean;
}

interface GrpcService {
  readonly envoy_grpc?: { readonly cluster_name?: string };
}

interface RouteConfiguration {
  readonly name?: string;
  readonly virtual_hosts?: readonly {
    readonly routes?: readonly Route[];
    readonly typed_per_filter_config?: Overrides;
  }[];
  readonly typed_per_filter_config?: Overrides;
}

interface Route {
  readonly name?: string;
  /** The route header is the only one. */
  readonly match?: { readonly headers?: readonly { readonly string_match?: { readonly exact?: string } }[] };
  readonly route?: { readonly inline_cluster_specifier_plugin?: object };
  readonly direct_response?: { readonly status?: number; readonly body?: object; readonly body_format?: object };
  readonly typed_per_filter_config?: Overrides;
}

type Overrides = Readonly<Record<string, Override | undefined>> | undefined;

/** `FilterConfig`, or `ExtProcPerRoute`, which may also be inside a `FilterConfig`. */
interface Override {
  readonly '@type'?: string;
  readonly disabled?: boolean;
  readonly config?: Override;
  readonly overrides?: {
    readonly grpc_service?: GrpcService;
    readonly processing_mode?: ExternalProcessor['processing_mode'];
  };
}

interface ConnectionManagerSummary {
  readonly listener: string;
  readonly routeConfigName: string | undefined;
  readonly inlineRoutes: RouteConfiguration | undefined;
  readonly filters: readonly HttpFilter[];
}

/** Returns one item per HTTP connection manager, with its filters that call this sidecar. */
function managersOf(dumped: DynamicListener, clusters: ReadonlySet<string>): readonly ConnectionManagerSummary[] {
  const listener = dumped.active_state?.listener;
  const chains = [
    ...(listener?.filter_chains ?? []),
    ...(listener?.default_filter_chain ? [listener.default_filter_chain] : []),
  ];
  return chains
    .flatMap(({ filters }) => filters ?? [])
    .flatMap(({ typed_config: manager }) => (manager?.http_filters === undefined ? [] : [manager]))
    .map((manager) => ({
      listener: dumped.name ?? listener?.name ?? '',
      routeConfigName: manager.rds?.route_config_name,
      inlineRoutes: manager.route_config,
      filters: (manager.http_filters ?? []).filter((filter) => isOurs(filter, clusters)),
    }));
}

const PROCESSOR = 'type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor';
const PROCESSOR_OVERRIDE = 'type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute';
const FILTER_OVERRIDE = 'type.googleapis.com/envoy.config.route.v3.FilterConfig';

function isOurs({ typed_config: processor }: HttpFilter, clusters: ReadonlySet<string>): boolean {
  return (
    processor?.['@type'] === PROCESSOR &&
    clusters.has(processor.grpc_service?.envoy_grpc?.cluster_name ?? '') &&
    processor.observability_mode !== true &&
    seesAll(processor.processing_mode)
  );
}

/** A processor that does not get headers and bodies in both directions cannot count tokens. */
function seesAll(mode: ExternalProcessor['processing_mode']): boolean {
  return (
    mode?.['request_body_mode'] === 'FULL_DUPLEX_STREAMED' &&
    mode['response_body_mode'] === 'FULL_DUPLEX_STREAMED' &&
    mode['request_header_mode'] !== 'SKIP' &&
    mode['response_header_mode'] !== 'SKIP'
  );
}

/** As in Envoy, the most specific override decides. */
function isEnabled(
  { name, disabled }: HttpFilter,
  overrides: readonly Overrides[],
  clusters: ReadonlySet<string>,
): boolean {
  const override = overrides.map((each) => each?.[name ?? '']).find((each) => each !== undefined);
  if (override === undefined) {
    return disabled !== true;
  }
  if (override.disabled === true) {
    return false;
  }
  if (override['@type'] !== FILTER_OVERRIDE) {
    return keepsFilter(override, clusters);
  }
  return override.config?.['@type'] === undefined || keepsFilter(override.config, clusters);
}

function keepsFilter(override: Override, clusters: ReadonlySet<string>): boolean {
  if (override['@type'] !== PROCESSOR_OVERRIDE || override.disabled === true) {
    return false;
  }
  const { grpc_service: service, processing_mode: mode } = override.overrides ?? {};
  const cluster = service?.envoy_grpc?.cluster_name;
  return (service === undefined || clusters.has(cluster ?? '')) && (mode === undefined || seesAll(mode));
}

/** Envoy Gateway replaces a route that it cannot implement by a 500 without a body. */
function isFailure({ direct_response: direct }: Route): boolean {
  return direct?.status === 500 && direct.body === undefined && direct.body_format === undefined;
}
