/**
 * The control plane: reads users' resources, translates them, and brings the cluster and the
 * sidecars to the result. Only the leader writes and serves policies.
 */
import type { ExchangeOptions } from '../cloud/exchange.ts';
import type { TokenCounts } from '../cloud/token-renewer.ts';
import type { ThresholdReport } from '../contract/budget-report.ts';
import type { KeyCounts } from '../jwks/key-fetcher.ts';
import type { DeliveryCounts } from '../notify/webhook-sender.ts';
import type { Address } from '../runtime/environment.ts';
import type { HttpServer } from '../runtime/http-server.ts';
import type { Log } from '../runtime/log.ts';
import type { ClusterOptions } from '../translate/kubernetes/plan.ts';
import { clusterFetchGuard } from '../translate/link/fetch-guard.ts';
import { KubeClient } from './api/client.ts';
import { type Credentials, findCredentials } from './api/credentials.ts';
import { type EventRecorder, newEventRecorder } from './api/events.ts';
import { LeaderElection } from './api/lease.ts';
import { type ReconcileLoop, startReconcileLoop } from './api/loop.ts';
import { keyOf } from './api/object.ts';
import { reviewToken } from './api/token-review.ts';
import { alertEvent, ClusterAlerts } from './budget-alerts.ts';
import { BudgetBoard } from './budget-board.ts';
import { type CertificateAuthority, openCertificateAuthority } from './certificate-authority.ts';
import { ClusterTokens } from './cloud-tokens.ts';
import { ClusterConsole, type ClusterConsoleOptions } from './console.ts';
import { startConsoleServer } from './console-server.ts';
import { HealthBoard } from './health-board.ts';
import { ClusterIssuerKeys } from './issuer-keys.ts';
import { labelLeader } from './leader-label.ts';
import { certificateExpiries } from './observe/certificate-expiry.ts';
import { newHistory } from './observe/contents.ts';
import { PolicyLag } from './observe/policy-lag.ts';
import { lossOf } from './observe/store-loss.ts';
import { type PushServer, startPushServer } from './push/server.ts';
import { type ReconcileCounts, Reconciler } from './reconcile.ts';
import { openSharedStore, type SharedStoreOptions, type SharedStoreSource } from './shared-store.ts';
import { type ClusterSources, openSources } from './sources.ts';

export interface ControllerOptions {
  /** The controller's own namespace. */
  readonly namespace: string;
  /** Distinguishes this replica from the others. */
  readonly identity: string;
  /** Empty: all namespaces. */
  readonly watchNamespaces: readonly string[];
  readonly proxyNamespaces: readonly string[];
  /** The namespaces whose proxies get secrets of guardrails from all namespaces. */
  readonly secretNamespaces: readonly string[];
  readonly reach: ClusterOptions['reach'];
  /** The namespaces whose AIBackends may use the controller's own identity in clouds. */
  readonly identityNamespaces: readonly string[];
  readonly exchange: ExchangeOptions;
  /** Undefined: each sidecar counts for itself. */
  readonly sharedStore: SharedStoreOptions | undefined;
  readonly listen: Extract<Address, { readonly type: 'tcp' }>;
  /** Undefined: no console. */
  readonly console: ServedConsole | undefined;
  readonly log: Log;
}

export interface ServedConsole extends ClusterConsoleOptions {
  readonly address: Extract<Address, { readonly type: 'tcp' }>;
  /** The pod of this replica, which gets a label while it leads. */
  readonly podName: string;
}

export interface Controller {
  readonly leading: boolean;
  /** Returns the names of unread collections; empty when the controller is ready. */
  missing(): readonly string[];
  readonly counts: Readonly<ReconcileCounts>;
  /** Zero unless leading. */
  readonly issuerKeys: KeyCounts;
  /** Of tokens of clouds; zero unless leading. */
  readonly tokens: TokenCounts;
  /** Of alerts about budgets to webhooks. */
  readonly alerts: DeliveryCounts;
  /** Connected sidecars that do not reach the shared quota store; 0 without such a store. */
  readonly sidecarsWithoutStore: number;
  /** For how many seconds a sidecar of each Gateway has been behind; empty unless leading. */
  policyLags(): ReadonlyMap<string, number>;
  /** When certificates expire, in Unix time in seconds, by `authority`, `server`, `quota_store`. */
  certificateExpiries(): ReadonlyMap<string, number>;
  close(): Promise<void>;
}

const TOKEN_AUDIENCE = 'tallygate';
/** Changes come in bursts; one run handles all changes of this time. */
const GATHER_MS = 20;
/** Finds what the watches have missed. */
const RESYNC_MS = 5 * 60_000;
/** The time that sidecars take at most to connect to a new leader. */
const SETTLE_MS = 15_000;
/** How often the budgets in statuses may change. */
const BUDGETS_MS = 30_000;
/** Between two looks at what the sidecars report about backends and their policy. */
const HEALTH_MS = 2_000;
const LABEL_RETRY_MS = 10_000;
const CERTIFICATE_CHECK_MS = 10 * 60_000;

export async function startController(options: ControllerOptions): Promise<Controller> {
  const controller = new ClusterController(options, await findCredentials(process.env));
  await controller.start();
  return controller;
}

class ClusterController implements Controller {
  readonly #options: ControllerOptions;
  readonly #client: KubeClient;
  readonly #sources: ClusterSources;
  readonly #sharedStore: SharedStoreSource;
  readonly #ca: CertificateAuthority;
  readonly #keys: ClusterIssuerKeys;
  readonly #tokens: ClusterTokens;
  readonly #events: EventRecorder;
  readonly #history = newHistory();
  readonly #policyLag = new PolicyLag();
  readonly #alerts: ClusterAlerts;
  #boards: { readonly budgets: BudgetBoard; readonly health: HealthBoard } | undefined;
  #boardTimers: readonly NodeJS.Timeout[] = [];
  #push: PushServer | undefined;
  #console: HttpServer | undefined;
  #reconciler: Reconciler | undefined;
  #loop: ReconcileLoop | undefined;
  #election: LeaderElection | undefined;
  #renewal: NodeJS.Timeout | undefined;
  /** The term of this replica; aborted or undefined: another replica leads. */
  #term: AbortSignal | undefined;
  #settledAtMs = 0;

  constructor(options: ControllerOptions, credentials: Credentials) {
    const { namespace, log } = options;
    this.#options = options;
    this.#client = new KubeClient(credentials, {
      beforeWrite: () => this.#election?.assertLeading(),
      writing: (write) => log.debug(write, 'writing'),
    });
    this.#sources = openSources({
      client: this.#client,
      namespaces: options.watchNamespaces,
      proxyNamespaces: [...options.proxyNamespaces, namespace],
      changed: (what) => (what === 'world' ? this.#worldChanged() : this.#ask()),
      log,
    });
    this.#sharedStore = openSharedStore(options.sharedStore, {
      client: this.#client,
      namespace,
      changed: () => this.#ask(),
      log,
    });
    this.#keys = new ClusterIssuerKeys({
      client: this.#client,
      namespace,
      guard: clusterFetchGuard(options.reach, () => this.#sources.services()),
      changed: () => this.#worldChanged(),
      log,
    });
    this.#tokens = new ClusterTokens({
      client: this.#client,
      namespace,
      exchange: options.exchange,
      changed: () => this.#worldChanged(),
      log,
    });
    this.#events = newEventRecorder(this.#client, options.identity, log);
    this.#alerts = new ClusterAlerts({
      client: this.#client,
      namespace,
      guard: clusterFetchGuard(options.reach, () => this.#sources.services()),
      enforces: (fleet, quota) => this.#history.policy(fleet)?.quotas.some(({ id }) => id === quota) ?? false,
      raised: (report) => this.#raised(report),
      log,
    });
    this.#ca = openCertificateAuthority(this.#client, namespace, () => this.#ask(), log);
  }

  get leading(): boolean {
    return this.#election?.leading ?? false;
  }

  get counts(): Readonly<ReconcileCounts> {
    return this.#reconciler?.counts ?? { runs: 0, writes: 0, statusWrites: 0 };
  }

  get alerts(): DeliveryCounts {
    return this.#alerts.counts();
  }

  get issuerKeys(): KeyCounts {
    return this.#keys.counts();
  }

  get tokens(): TokenCounts {
    return this.#tokens.counts();
  }

  get sidecarsWithoutStore(): number {
    const sidecars = this.#sharedStore.config() === undefined ? [] : (this.#push?.sidecars() ?? []);
    return sidecars.filter((sidecar) => lossOf(sidecar) !== undefined).length;
  }

  policyLags(): ReadonlyMap<string, number> {
    return this.leading ? this.#policyLag.seconds(this.#sources.gateways(), performance.now()) : new Map();
  }

  certificateExpiries(): ReadonlyMap<string, number> {
    return certificateExpiries({
      authority: this.#ca.bundle(),
      server: this.#ca.certificate()?.chain,
      quota_store: this.#sharedStore.config()?.tls?.caPem,
    });
  }

  readonly missing = (): readonly string[] => [...this.#sources.missing(), ...this.#sharedStore.missing()];

  async start(): Promise<void> {
    const { namespace, identity, proxyNamespaces, reach, identityNamespaces, log } = this.#options;
    const push = await this.#startPush();
    this.#push = push;
    this.#console = await this.#startConsole(push);
    const boards = {
      budgets: new BudgetBoard(push, this.#history),
      health: new HealthBoard(push, this.#history),
    };
    this.#boards = boards;
    const reconciler = new Reconciler({
      client: this.#client,
      sources: this.#sources,
      push,
      ca: this.#ca,
      issuerKeys: this.#keys,
      tokens: this.#tokens,
      alerts: this.#alerts,
      ...boards,
      events: this.#events,
      history: this.#history,
      sharedStore: this.#sharedStore,
      proxyNamespaces,
      reach,
      identityNamespaces,
      log,
    });
    this.#reconciler = reconciler;
    this.#loop = startReconcileLoop({
      name: 'reconcile',
      gatherMs: GATHER_MS,
      everyMs: RESYNC_MS,
      run: async (signal) => {
        const term = this.#term;
        const isSettling = Date.now() < this.#settledAtMs;
        return term === undefined || term.aborted || reconciler.run(AbortSignal.any([signal, term]), isSettling);
      },
      log,
    });
    this.#boardTimers = [
      setInterval(() => this.#renew(boards.budgets), BUDGETS_MS).unref(),
      setInterval(() => this.#renew(boards.health), HEALTH_MS).unref(),
      setInterval(() => this.#observePolicies(push), HEALTH_MS).unref(),
    ];
    this.#renewal = setInterval(() => this.#renewCertificate(), CERTIFICATE_CHECK_MS).unref();
    this.#election = new LeaderElection({
      client: this.#client,
      namespace,
      name: 'tallygate-controller',
      identity,
      lead: (epoch, term) => this.#lead(push, epoch, term),
      log,
    });
  }

  readonly close = async (): Promise<void> => {
    clearInterval(this.#renewal);
    this.#boardTimers.forEach(clearInterval);
    await this.#loop?.close();
    await this.#election?.close();
    await this.#console?.close();
    await this.#push?.close();
    this.#sources.close();
    this.#sharedStore.close();
    this.#ca.close();
    this.#keys.close();
    this.#tokens.close();
    this.#alerts.close();
    this.#client.close();
  };

  async #startPush(): Promise<PushServer> {
    const push = await startPushServer({
      address: this.#options.listen,
      credentials: this.#ca.certificate,
      review: (token) => reviewToken(this.#client, token, TOKEN_AUDIENCE),
      fleetOf: (pod) => this.#sources.pod(pod.podUid)?.fleet,
      mayShareStore: ({ namespace }) => this.#options.sharedStore?.namespaces.includes(namespace) ?? true,
      mayHaveSecrets: ({ namespace }) => this.#options.secretNamespaces.includes(namespace),
      outdated: (epoch) => this.#election?.raise(epoch),
      keysRequested: (url) => this.#keys.refetch(url),
      alertRaised: (report, fleet, stored) => this.#alerts.take(report, fleet, stored),
      log: this.#options.log,
    });
    push.onChange(() => this.#ask());
    return push;
  }

  async #startConsole(push: PushServer): Promise<HttpServer | undefined> {
    const { console: served, log } = this.#options;
    if (served === undefined) {
      return undefined;
    }
    const console = new ClusterConsole(served, () => (this.leading ? push : undefined));
    return await startConsoleServer(served.address, console, log);
  }

  async #labelPod(term: AbortSignal): Promise<void> {
    const { console: served, namespace, log } = this.#options;
    if (served === undefined || term.aborted) {
      return;
    }
    try {
      await labelLeader(this.#client, { namespace, podName: served.podName }, term);
    } catch (error) {
      if (!term.aborted) {
        log.warn({ err: error }, 'label of the leader not written, so the Service of the console may not find it');
        setTimeout(() => void this.#labelPod(term), LABEL_RETRY_MS).unref();
      }
    }
  }

  #lead(push: PushServer, epoch: number, term: AbortSignal): void {
    this.#term = term;
    this.#settledAtMs = Date.now() + SETTLE_MS;
    setTimeout(() => this.#ask(), SETTLE_MS).unref();
    push.setLeader(epoch);
    void this.#labelPod(term);
    term.addEventListener(
      'abort',
      () => {
        push.setLeader(undefined);
        this.#boards?.budgets.clear();
        this.#boards?.health.clear();
        this.#policyLag.clear();
      },
      { once: true },
    );
    this.#ask();
  }

  #renewCertificate(): void {
    this.#ca.renew().catch((error) => this.#options.log.error({ err: error }, 'server certificate not renewed'));
    this.#ask();
  }

  #renew(board: BudgetBoard | HealthBoard): void {
    if (this.leading && Date.now() >= this.#settledAtMs && board.renew(Date.now())) {
      this.#ask();
    }
  }

  #observePolicies(push: PushServer): void {
    if (!this.leading) {
      return;
    }
    const published = (fleet: string) => push.published(fleet);
    const view = { pods: this.#sources.pods(), sidecars: push.sidecars(), published };
    for (const { name: pod, namespace } of this.#policyLag.observe(view, performance.now())) {
      this.#options.log.warn({ pod, namespace }, 'sidecar has not acknowledged the newest policy for a minute');
    }
  }

  #raised(report: ThresholdReport): void {
    const policy = report.quota.slice(0, report.quota.lastIndexOf('/'));
    const object = [...this.#sources.own('AIQuotaPolicy')].find(({ metadata }) => keyOf(metadata) === policy);
    if (object !== undefined) {
      this.#events.record(alertEvent(report, object));
    }
  }

  #worldChanged(): void {
    this.#reconciler?.worldChanged();
    this.#ask();
  }

  #ask(): void {
    this.#loop?.ask();
  }
}
