/** What the controller sees of the cluster: copies of the collections that it follows, and of the Secrets and ConfigMaps that something refers to, one by one. */
import { isDeepStrictEqual } from 'node:util';
import type { Log } from '../runtime/log.ts';
import type { ClusterWorld } from '../translate/kubernetes/plan.ts';
import { clusterWorld, type Reading, readObject } from '../translate/kubernetes/read.ts';
import { referencesOf } from '../translate/kubernetes/references.ts';
import type { Client } from './api/client.ts';
import { isOurs, MANAGED_SELECTOR } from './api/difference.ts';
import { type Informer, startInformer } from './api/informer.ts';
import { type KubeObject, keyOf } from './api/object.ts';
import type { Resource } from './api/resource.ts';
import { type GatewayFacts, PROXY_POD_SELECTOR, type ProxyPod, proxyPod } from './observe/fleets.ts';
import { type UsersPolicy, usersPolicy } from './observe/users-policies.ts';
import * as resources from './resources.ts';

/** Gateways of other implementations are left alone. */
const ENVOY_GATEWAY_CONTROLLER = 'gateway.envoyproxy.io/gatewayclass-controller';

export interface SourcesOptions {
  readonly client: Client;
  /** Empty: all. */
  readonly namespaces: readonly string[];
  /** Where proxies run beside those. */
  readonly proxyNamespaces: readonly string[];
  /** `world`: what translate reads may have changed; else only what is observed. */
  readonly changed: (what: 'world' | 'observed') => void;
  readonly log: Log;
}

export interface Sources {
  /** Everything has been seen once, but for these. Empty: all. */
  missing(): readonly string[];
  /** Asks for what the resources refer to; until that has come, it is missing. */
  world(): ClusterWorld;
  gateways(): readonly GatewayFacts[];
  pods(): Iterable<ProxyPod>;
  pod(uid: string): ProxyPod | undefined;
  hasNamespace(name: string): boolean;
  /** Of Envoy Gateway's kinds. */
  usersPolicies(): readonly UsersPolicy[];
  /** Users' objects with their status, by `NAMESPACE/NAME`. */
  own(kind: string): Iterable<KubeObject>;
  /** Ours, as they are. */
  managed(kind: string): ReadonlyMap<string, KubeObject>;
  close(): void;
}

interface Read {
  readonly object: KubeObject;
  readonly reading: Reading;
}

export function openSources(options: SourcesOptions): Sources {
  const { client, log } = options;
  const world = () => options.changed('world');
  const observed = () => options.changed('observed');
  const places = options.namespaces.length === 0 ? [''] : options.namespaces;
  const proxyPlaces = options.namespaces.length === 0 ? [''] : [...new Set([...places, ...options.proxyNamespaces])];
  const follow = <T>(resource: Resource, where: readonly string[], more: Follow<T>): Followed<T> => {
    const informers = where.map((namespace) => startInformer({ client, log, resource, namespace, ...more }));
    return followed(resource.kind, informers);
  };
  const rewritten = (before?: Read, after?: Read) => (saySame(before?.object, after?.object) ? observed() : world());
  const read = (resource: Resource, where = places): Followed<Read> =>
    follow(resource, where, {
      changed: rewritten,
      keep: (object) => ({ object, reading: readObject(object) }),
    });
  const whole = (object: KubeObject) => object;
  const proxyNamespaces = new Set(options.proxyNamespaces);

  const own = resources.ownResources.map((resource) => read(resource));
  const gateways = read(resources.gateways);
  const grants = read(resources.referenceGrants);
  const usersTraffic = follow(resources.trafficPolicies, places, {
    changed: rewritten,
    keep: (object) => (isOurs(object) ? undefined : { object, reading: readObject(object) }),
  });
  const usersClients = read(resources.clientPolicies);
  const classes = follow(resources.gatewayClasses, [''], {
    changed: world,
    keep: ({ spec }) => (spec as { readonly controllerName?: string }).controllerName,
  });
  const namespaces = follow(resources.namespaces, [''], {
    changed: world,
    keep: ({ metadata }) => metadata.labels ?? {},
  });
  const services = follow<readonly string[]>(resources.services, places, {
    changed(before, after) {
      if (before?.join() !== after?.join()) {
        world();
      }
    },
    // Only whether there is one matters, and where.
    keep: ({ spec }) => (spec as { readonly clusterIPs?: readonly string[] } | undefined)?.clusterIPs ?? [],
  });
  const pods = follow(resources.pods, proxyPlaces, {
    labelSelector: PROXY_POD_SELECTOR,
    changed: observed,
    keep: (object) => proxyPod(object as Parameters<typeof proxyPod>[0], proxyNamespaces),
  });
  const usersPolicies = [resources.securityPolicies, resources.extensionPolicies].map((resource) =>
    follow(resource, places, {
      changed: observed,
      keep: (object) => (isOurs(object) ? undefined : usersPolicy(resource.kind, object)),
    }),
  );
  const managed = new Map(
    resources.generatedResources.map((resource) => {
      const where = resource.kind === 'ConfigMap' ? proxyPlaces : places;
      return [
        resource.kind,
        follow(resource, where, { labelSelector: MANAGED_SELECTOR, changed: observed, keep: whole }),
      ];
    }),
  );
  const referred = {
    Secret: newReferred(resources.secrets, client, world, log),
    ConfigMap: newReferred(resources.configMaps, client, world, log),
  };
  const collections = [
    ...own,
    gateways,
    grants,
    usersTraffic,
    usersClients,
    classes,
    namespaces,
    services,
    pods,
    ...usersPolicies,
    ...managed.values(),
  ];

  const served = () =>
    [...gateways.items()].filter(({ object }) => classes.get(`/${className(object)}`) === ENVOY_GATEWAY_CONTROLLER);
  return {
    missing: () => [
      ...collections.filter(({ synced }) => !synced()).map(({ kind }) => kind),
      ...Object.values(referred).flatMap((each) => each.missing()),
    ],
    world() {
      const readings = [...own, grants, usersTraffic, usersClients].flatMap((each) =>
        [...each.items()].map(({ reading }) => reading),
      );
      readings.push(...served().map(({ reading }) => reading));
      const facts = {
        namespaces: new Map([...namespaces.entries()].map(([key, labels]) => [key.slice(1), labels])),
        services: new Map(services.entries()),
      };
      const references = referencesOf(clusterWorld(readings, facts));
      referred.Secret.want(references.secrets);
      referred.ConfigMap.want(references.configMaps);
      return clusterWorld([...readings, ...referred.Secret.readings(), ...referred.ConfigMap.readings()], facts);
    },
    gateways: () =>
      served().map(({ object }) => ({
        name: keyOf(object.metadata),
        className: className(object),
        labels: object.metadata.labels ?? {},
      })),
    pods: () => pods.items(),
    pod: (uid) => [...pods.items()].find((pod) => pod.uid === uid),
    hasNamespace: (name) => namespaces.get(`/${name}`) !== undefined,
    usersPolicies: () => [
      ...usersPolicies.flatMap((each) => [...each.items()]),
      ...[...usersTraffic.items()].map(({ object }) => usersPolicy('BackendTrafficPolicy', object)),
    ],
    own: (kind) => [...(own.find((each) => each.kind === kind)?.items() ?? [])].map(({ object }) => object),
    managed: (kind) => new Map(managed.get(kind)?.entries() ?? []),
    close() {
      for (const each of collections) {
        each.close();
      }
      for (const each of Object.values(referred)) {
        each.want([]);
      }
    },
  };
}

/** A new status, our own most of all, is nothing to translate. Labels are: policies find Gateways by them, and they have no part in the generation. */
function saySame(before: KubeObject | undefined, after: KubeObject | undefined): boolean {
  if (before === undefined || after === undefined || after.metadata.generation === undefined) {
    return false;
  }
  return (
    before.metadata.generation === after.metadata.generation &&
    before.metadata.uid === after.metadata.uid &&
    isDeepStrictEqual(before.metadata.labels, after.metadata.labels)
  );
}

function className({ spec }: KubeObject): string {
  return (spec as { readonly gatewayClassName?: string } | undefined)?.gatewayClassName ?? '';
}

type Follow<T> = Pick<Parameters<typeof startInformer<T>>[0], 'keep' | 'changed' | 'labelSelector'>;

/** One kind, in all namespaces or a chosen few. */
interface Followed<T> {
  readonly kind: string;
  synced(): boolean;
  get(key: string): T | undefined;
  items(): Iterable<T>;
  entries(): Iterable<readonly [string, T]>;
  close(): void;
}

function followed<T>(kind: string, informers: readonly Informer<T>[]): Followed<T> {
  return {
    kind,
    synced: () => informers.every(({ synced }) => synced),
    get: (key) => informers.map(({ items }) => items.get(key)).find((item) => item !== undefined),
    items: () => informers.flatMap(({ items }) => [...items.values()]),
    entries: () => informers.flatMap(({ items }) => [...items]),
    close() {
      for (const informer of informers) {
        informer.close();
      }
    },
  };
}

interface Referred {
  /** `NAMESPACE/NAME` each. */
  want(keys: readonly string[]): void;
  missing(): readonly string[];
  readings(): readonly Reading[];
}

/** Single objects, each by a watch of its own name: a collection of Secrets is never asked for. */
function newReferred(resource: Resource, client: Client, changed: () => void, log: Log): Referred {
  const informers = new Map<string, Informer<Reading>>();
  return {
    want(keys) {
      const wanted = new Set(keys);
      for (const [key, informer] of informers) {
        if (wanted.has(key)) {
          continue;
        }
        informer.close();
        informers.delete(key);
      }
      for (const key of wanted) {
        if (informers.has(key)) {
          continue;
        }
        const [namespace = '', name = ''] = key.split('/');
        const fieldSelector = `metadata.name=${name}`;
        informers.set(
          key,
          startInformer({ client, resource, namespace, fieldSelector, keep: readObject, changed, log }),
        );
      }
    },
    missing: () =>
      [...informers].filter(([, { synced, refused }]) => !synced && !refused).map(([key]) => `${resource.kind} ${key}`),
    readings: () => [...informers.values()].flatMap(({ items }) => [...items.values()]),
  };
}
