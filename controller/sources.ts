/**
 * The controller's copy of the cluster: whole collections, Secrets with API keys by their label,
 * and single Secrets and ConfigMaps that resources refer to.
 */
import { isDeepStrictEqual } from 'node:util';
import { API_KEY_LABEL } from '../contract/api-key.ts';
import type { Log } from '../runtime/log.ts';
import type { ClusterWorld, PatchVerdict } from '../translate/kubernetes/plan.ts';
import {
  type AddToWorld,
  clusterWorld,
  type FetchedInputs,
  readApiKeySecret,
  readObject,
} from '../translate/kubernetes/read.ts';
import { referencesOf } from '../translate/kubernetes/references.ts';
import type { KubeClient } from './api/client.ts';
import { isOurs, MANAGED_SELECTOR } from './api/difference.ts';
import { type Informer, startInformer } from './api/informer.ts';
import { type KubeObject, keyOf } from './api/object.ts';
import type { Resource } from './api/resource.ts';
import { type GatewayFacts, PROXY_POD_SELECTOR, type ProxyPod, proxyPod } from './observe/fleets.ts';
import { patchVerdict } from './observe/patch-verdicts.ts';
import { type UserPolicy, userPolicy } from './observe/user-policies.ts';
import { newReferencedObjects, type ReferencedObjects } from './referenced-objects.ts';
import * as resources from './resources.ts';

/** Gateways of other implementations are ignored. */
const ENVOY_GATEWAY_CONTROLLER = 'gateway.envoyproxy.io/gatewayclass-controller';

const API_KEY_SELECTOR = `${API_KEY_LABEL}=true`;

export interface SourcesOptions {
  readonly client: KubeClient;
  /** Empty: all namespaces. */
  readonly namespaces: readonly string[];
  /** Further namespaces where proxies run. */
  readonly proxyNamespaces: readonly string[];
  /** `world`: the input of translate may have changed; `observed`: something else. */
  readonly changed: (what: 'world' | 'observed') => void;
  readonly log: Log;
}

export interface ClusterSources {
  /** Names what has not been read yet; empty: everything has. */
  missing(): readonly string[];
  /** Starts watching what the resources refer to; until it has been read, it is missing. */
  requestReferences(): void;
  world(fetched: FetchedInputs): ClusterWorld;
  gateways(): readonly GatewayFacts[];
  services(): ClusterWorld['services'];
  pods(): Iterable<ProxyPod>;
  pod(uid: string): ProxyPod | undefined;
  hasNamespace(name: string): boolean;
  /** Users' policies of Envoy Gateway's kinds. */
  userPolicies(): readonly UserPolicy[];
  /** Users' objects of Tallygate's kinds, with their status. */
  own(kind: string): Iterable<KubeObject>;
  /** Existing generated objects by `NAMESPACE/NAME`. */
  managed(kind: string): ReadonlyMap<string, KubeObject>;
  close(): void;
}

/** An object, and what translate reads of it. */
interface ReadObject {
  readonly object: KubeObject;
  readonly addTo: AddToWorld;
}

export function openSources(options: SourcesOptions): ClusterSources {
  return new WatchedSources(options);
}

class WatchedSources implements ClusterSources {
  readonly #options: SourcesOptions;
  /** Namespaces to watch; the empty name means all. */
  readonly #namespaces: readonly string[];
  readonly #proxyNamespaces: readonly string[];
  readonly #own: readonly Collection<ReadObject>[];
  readonly #gateways: Collection<ReadObject>;
  readonly #grants: Collection<ReadObject>;
  readonly #apiKeys: Collection<AddToWorld>;
  readonly #userTraffic: Collection<ReadObject>;
  readonly #userClients: Collection<ReadObject>;
  readonly #userSecurity: Collection<ReadObject>;
  readonly #classes: Collection<string | undefined>;
  readonly #namespaceLabels: Collection<Readonly<Record<string, string>>>;
  readonly #services: Collection<readonly string[]>;
  readonly #pods: Collection<ProxyPod>;
  readonly #userExtensions: Collection<UserPolicy>;
  readonly #patches: Collection<KubeObject>;
  readonly #managed: ReadonlyMap<string, Collection<KubeObject>>;
  readonly #referenced: {
    readonly Secret: ReferencedObjects;
    readonly ConfigMap: ReferencedObjects;
  };

  constructor(options: SourcesOptions) {
    const { namespaces, proxyNamespaces } = options;
    this.#options = options;
    this.#namespaces = namespaces.length === 0 ? [''] : namespaces;
    this.#proxyNamespaces = namespaces.length === 0 ? [''] : [...new Set([...namespaces, ...proxyNamespaces])];
    this.#own = resources.ownResources.map((resource) => this.#read(resource));
    this.#gateways = this.#read(resources.gateways);
    this.#grants = this.#read(resources.referenceGrants);
    // Only the digest of a key is kept.
    this.#apiKeys = this.#follow(resources.secrets, this.#namespaces, {
      labelSelector: API_KEY_SELECTOR,
      changed: this.#worldChanged,
      keep: readApiKeySecret,
    });
    this.#userTraffic = this.#readUsers(resources.trafficPolicies);
    this.#userSecurity = this.#readUsers(resources.securityPolicies);
    this.#userClients = this.#read(resources.clientPolicies);
    this.#classes = this.#follow(resources.gatewayClasses, [''], {
      changed: this.#worldChanged,
      keep: ({ spec }) => (spec as { readonly controllerName?: string }).controllerName,
    });
    this.#namespaceLabels = this.#follow(resources.namespaces, [''], {
      changed: this.#worldChanged,
      keep: ({ metadata }) => metadata.labels ?? {},
    });
    this.#services = this.#followServices();
    const homes = new Set(proxyNamespaces);
    this.#pods = this.#follow(resources.pods, this.#proxyNamespaces, {
      labelSelector: PROXY_POD_SELECTOR,
      changed: this.#observedChanged,
      keep: (object) => proxyPod(object as Parameters<typeof proxyPod>[0], homes),
    });
    this.#userExtensions = this.#follow(resources.extensionPolicies, this.#namespaces, {
      changed: this.#observedChanged,
      keep: (object) => (isOurs(object) ? undefined : userPolicy(resources.extensionPolicies.kind, object)),
    });
    this.#managed = new Map(
      resources.generatedResources.map((resource) => [resource.kind, this.#followManaged(resource)]),
    );
    this.#patches = this.#managed.get(resources.patchPolicies.kind)!;
    const { client, log } = options;
    this.#referenced = {
      Secret: newReferencedObjects(resources.secrets, client, this.#worldChanged, log),
      ConfigMap: newReferencedObjects(resources.configMaps, client, this.#worldChanged, log),
    };
  }

  missing(): readonly string[] {
    return [
      ...this.#collections()
        .filter((each) => !each.synced() && !(each === this.#patches && each.unavailable() !== undefined))
        .map(({ kind }) => kind),
      ...Object.values(this.#referenced).flatMap((objects) => objects.missing()),
    ];
  }

  requestReferences(): void {
    const references = referencesOf(clusterWorld(this.#additions(), this.#facts()));
    this.#referenced.Secret.want(references.secrets);
    this.#referenced.ConfigMap.want(references.configMaps);
  }

  world(fetched: FetchedInputs): ClusterWorld {
    const { Secret, ConfigMap } = this.#referenced;
    const additions = [...this.#additions(), ...this.#apiKeys.items(), ...Secret.additions(), ...ConfigMap.additions()];
    return clusterWorld(additions, this.#facts(), fetched);
  }

  gateways(): readonly GatewayFacts[] {
    return this.#servedGateways().map(({ object }) => ({
      name: keyOf(object.metadata),
      className: className(object),
      labels: object.metadata.labels ?? {},
    }));
  }

  services(): ClusterWorld['services'] {
    return new Map(this.#services.entries());
  }

  pods(): Iterable<ProxyPod> {
    return this.#pods.items();
  }

  pod(uid: string): ProxyPod | undefined {
    return [...this.#pods.items()].find((pod) => pod.uid === uid);
  }

  hasNamespace(name: string): boolean {
    return this.#namespaceLabels.get(`/${name}`) !== undefined;
  }

  userPolicies(): readonly UserPolicy[] {
    return [
      ...[...this.#userSecurity.items()].map(({ object }) => userPolicy('SecurityPolicy', object)),
      ...this.#userExtensions.items(),
      ...[...this.#userTraffic.items()].map(({ object }) => userPolicy('BackendTrafficPolicy', object)),
    ];
  }

  own(kind: string): Iterable<KubeObject> {
    const collection = this.#own.find((each) => each.kind === kind);
    return [...(collection?.items() ?? [])].map(({ object }) => object);
  }

  managed(kind: string): ReadonlyMap<string, KubeObject> {
    return new Map(this.#managed.get(kind)?.entries() ?? []);
  }

  close(): void {
    for (const collection of this.#collections()) {
      collection.close();
    }
    for (const objects of Object.values(this.#referenced)) {
      objects.want([]);
    }
  }

  readonly #worldChanged = (): void => this.#options.changed('world');
  readonly #observedChanged = (): void => this.#options.changed('observed');
  readonly #rewritten = (before?: ReadObject, after?: ReadObject): void =>
    isSameContent(before?.object, after?.object) ? this.#observedChanged() : this.#worldChanged();

  /** A rule fails over within a request only if Envoy Gateway has applied its patches. */
  readonly #patched = (before?: KubeObject, after?: KubeObject): void => {
    if (before === undefined || !isDeepStrictEqual(patchVerdict(before), after && patchVerdict(after))) {
      this.#worldChanged();
    } else {
      this.#observedChanged();
    }
  };

  #read(resource: Resource): Collection<ReadObject> {
    return this.#follow(resource, this.#namespaces, {
      changed: this.#rewritten,
      keep: (object) => ({ object, addTo: readObject(object) }),
    });
  }

  /** Reads a kind of which some objects are generated, without those. */
  #readUsers(resource: Resource): Collection<ReadObject> {
    return this.#follow(resource, this.#namespaces, {
      changed: this.#rewritten,
      keep: (object) => (isOurs(object) ? undefined : { object, addTo: readObject(object) }),
    });
  }

  /** Keeps the addresses only: translate asks whether a Service exists, and where. */
  #followServices(): Collection<readonly string[]> {
    return this.#follow<readonly string[]>(resources.services, this.#namespaces, {
      changed: (before, after) => {
        if (before?.join() !== after?.join()) {
          this.#worldChanged();
        }
      },
      keep: ({ spec }) => (spec as { readonly clusterIPs?: readonly string[] } | undefined)?.clusterIPs ?? [],
    });
  }

  #followManaged(resource: Resource): Collection<KubeObject> {
    const namespaces = resource.kind === 'ConfigMap' ? this.#proxyNamespaces : this.#namespaces;
    return this.#follow(resource, namespaces, {
      labelSelector: MANAGED_SELECTOR,
      changed: resource === resources.patchPolicies ? this.#patched : this.#observedChanged,
      keep: (object) => object,
    });
  }

  #follow<T>(resource: Resource, namespaces: readonly string[], more: CollectionOptions<T>): Collection<T> {
    const { client, log } = this.#options;
    const informers = namespaces.map((namespace) => startInformer({ client, log, resource, namespace, ...more }));
    return newCollection(resource.kind, informers);
  }

  #collections(): readonly Collection<unknown>[] {
    return [
      ...this.#own,
      this.#gateways,
      this.#grants,
      this.#apiKeys,
      this.#userTraffic,
      this.#userClients,
      this.#userSecurity,
      this.#classes,
      this.#namespaceLabels,
      this.#services,
      this.#pods,
      this.#userExtensions,
      ...this.#managed.values(),
    ];
  }

  /** The Gateways of Envoy Gateway's classes. */
  #servedGateways(): readonly ReadObject[] {
    return [...this.#gateways.items()].filter(
      ({ object }) => this.#classes.get(`/${className(object)}`) === ENVOY_GATEWAY_CONTROLLER,
    );
  }

  #additions(): readonly AddToWorld[] {
    const collections = [...this.#own, this.#grants, this.#userTraffic, this.#userClients, this.#userSecurity];
    const objects = [...collections.flatMap((collection) => [...collection.items()]), ...this.#servedGateways()];
    return objects.map(({ addTo }) => addTo);
  }

  #facts() {
    return {
      namespaces: new Map([...this.#namespaceLabels.entries()].map(([key, labels]) => [key.slice(1), labels])),
      services: this.services(),
      patchPolicies: this.#patchPolicies(),
    };
  }

  #patchPolicies(): ClusterWorld['patchPolicies'] {
    const unavailable = this.#patches.unavailable();
    const verdicts = new Map<string, PatchVerdict>();
    for (const [key, object] of this.#patches.entries()) {
      const verdict = patchVerdict(object);
      if (verdict !== undefined) {
        verdicts.set(key, verdict);
      }
    }
    return { ...(unavailable !== undefined && { unavailable }), verdicts };
  }
}

/**
 * Whether only the status changed, which translate does not read. Labels count as content, because
 * policies select Gateways by them and a change of labels does not change the generation.
 */
function isSameContent(before: KubeObject | undefined, after: KubeObject | undefined): boolean {
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

type CollectionOptions<T> = Pick<Parameters<typeof startInformer<T>>[0], 'keep' | 'changed' | 'labelSelector'>;

/** All objects of one kind, in all or the watched namespaces. */
interface Collection<T> {
  readonly kind: string;
  synced(): boolean;
  /** Why nothing can be read; undefined: all can. */
  unavailable(): ClusterWorld['patchPolicies']['unavailable'];
  get(key: string): T | undefined;
  items(): Iterable<T>;
  entries(): Iterable<readonly [string, T]>;
  close(): void;
}

function newCollection<T>(kind: string, informers: readonly Informer<T>[]): Collection<T> {
  return {
    kind,
    synced: () => informers.every(({ synced }) => synced),
    unavailable: () =>
      informers.some(({ absent }) => absent)
        ? 'NotInstalled'
        : informers.some(({ refused }) => refused)
          ? 'NotPermitted'
          : undefined,
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
