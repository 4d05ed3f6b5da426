/**
 * Pushes policies to the sidecars: one gRPC stream each, over TLS, authenticated by a token of the
 * pod's service account. Takes the policies by fleet; reports what each sidecar has acknowledged,
 * refused and found in its Envoy's configuration. Only the leader serves.
 */
import { isDeepStrictEqual } from 'node:util';
import { Metadata, status } from '@grpc/grpc-js';
import type { ThresholdReport } from '../../contract/budget-report.ts';
import type { GatewayPolicy } from '../../contract/policy.ts';
import { policyText } from '../../contract/policy-text.ts';
import type { SharedStoreConfig } from '../../contract/shared-store.ts';
import type { Log } from '../../runtime/log.ts';
import type { DetectorSecret } from '../../translate/plan.ts';
import type { PodIdentity } from '../api/token-review.ts';
import type { ServerCertificate } from './ca.ts';
import type { ConsoleContent, ConsoleReplyBody } from './console-questions.ts';
import { LINGER_MS, MAX_POLICY_BYTES, MAX_REVIEWS, REVIEW_TIMEOUT_MS } from './limits.ts';
import { listen, type PushListener } from './listener.ts';
import { OfferedSecrets } from './offered-secrets.ts';
import { type ConnectedSidecar, followSidecar, nothingReported, type SidecarStream } from './sidecar.ts';
import { bearerOf, type FollowCall, followService, newOffer, type Offer, sharedStoreMessage } from './wire.ts';

/** Room for the version beside the content. */
const MESSAGE_OVERHEAD_BYTES = 1024;

export interface PushServerOptions {
  readonly address: { readonly host: string; readonly port: number };
  /**
   * Called for each connection, so that a renewed certificate is used at once; undefined:
   * connections are closed.
   */
  readonly credentials: () => ServerCertificate | undefined;
  /** Returns undefined if the token is not valid. Rejects if the token cannot be reviewed now. */
  readonly review: (token: string) => Promise<PodIdentity | undefined>;
  /** The fleet of the pod; undefined if it is no proxy of a Gateway of this controller. */
  readonly fleetOf: (pod: PodIdentity) => string | undefined;
  /**
   * Whether the pod may have the password of the shared store: whoever can create such a pod, or
   * run programs in it, can read it.
   */
  readonly mayShareStore: (pod: PodIdentity) => boolean;
  /** Whether the pod may have the secrets of guardrails of all namespaces, not only of its own. */
  readonly mayHaveSecrets: (pod: PodIdentity) => boolean;
  /**
   * Called when a sidecar has a policy of a higher epoch: this replica's clock was behind, or it no
   * longer leads.
   */
  readonly outdated?: (epoch: number) => void;
  /** Called when a token named a key that the policy does not contain; bounded per sidecar. */
  readonly keysRequested?: (url: string) => void;
  /** Called with each alert of a sidecar; `stored` tells it not to send the alert again. */
  readonly alertRaised?: (report: ThresholdReport, fleet: string, stored: () => void) => void;
  readonly log: Log;
}

export interface PushServer {
  readonly port: number;
  /** Sets the epoch of this leader, higher than all before; undefined: another replica leads. */
  setLeader(epoch: number | undefined): void;
  /**
   * Sets the store in which the sidecars count; undefined: none. Call before the first `publish`
   * of a term, so that no sidecar has a policy without it.
   */
  shareStore(config: SharedStoreConfig | undefined): void;
  /**
   * Sets the secrets for services of guardrails, by fleet. Call before `publish`, so that no policy
   * names a secret that its sidecars lack.
   */
  shareSecrets(secrets: ReadonlyMap<string, readonly DetectorSecret[]>): void;
  /** Sets the policies of all fleets. A policy with the same content is not sent again. */
  publish(policies: ReadonlyMap<string, GatewayPolicy>): void;
  sidecars(): readonly ConnectedSidecar[];
  /** The version that the sidecars of a fleet should acknowledge. */
  published(fleet: string): Offer['version'] | undefined;
  /** By how much the newest policy of a fleet is too large to be sent. */
  excessBytes(fleet: string): number;
  /** Resolves with undefined where the sidecar of the pod does not answer in time. */
  askConsole(podUid: string, content: ConsoleContent): Promise<ConsoleReplyBody | undefined>;
  /** Calls back when `sidecars()` has changed. */
  onChange(callback: () => void): void;
  close(): Promise<void>;
}

interface KnownSidecar {
  connected: ConnectedSidecar;
  stream: SidecarStream | undefined;
  /** Set while the sidecar may still reconnect. */
  leaving: NodeJS.Timeout | undefined;
}

interface OfferedStore {
  readonly config: SharedStoreConfig | undefined;
  /** For sidecars that may share the store, and for all others. */
  readonly message: Uint8Array;
  readonly none: Uint8Array;
}

/** Why a stream is refused. */
interface StreamRefusal {
  readonly code: status;
  readonly details: string;
}

const notLeading: StreamRefusal = { code: status.UNAVAILABLE, details: 'another replica of the controller leads' };

export async function startPushServer(options: PushServerOptions): Promise<PushServer> {
  const server = new SidecarPushServer(options);
  await server.listen();
  return server;
}

class SidecarPushServer implements PushServer {
  readonly #options: PushServerOptions;
  readonly #offers = new Map<string, Offer>();
  /** By fleet: the policies that are not sent. */
  readonly #tooLarge = new Map<string, { readonly version: string; readonly excessBytes: number }>();
  readonly #sidecars = new Map<string, KnownSidecar>();
  readonly #callbacks: (() => void)[] = [];
  #listener: PushListener | undefined;
  #epoch: number | undefined;
  #counter = 0;
  #store: OfferedStore | undefined;
  readonly #secrets: OfferedSecrets;
  #reviews = 0;

  constructor(options: PushServerOptions) {
    this.#options = options;
    this.#secrets = new OfferedSecrets(options.log);
  }

  async listen(): Promise<void> {
    this.#listener = await listen({
      address: this.#options.address,
      credentials: this.#options.credentials,
      addServices: (server) =>
        server.addService(followService, { Follow: (call: FollowCall) => void this.#follow(call) }),
    });
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  setLeader(epoch: number | undefined): void {
    if (epoch === this.#epoch) {
      return;
    }
    this.#epoch = epoch;
    this.#counter = 0;
    this.#store = undefined;
    this.#secrets.begin(epoch ?? 0);
    this.#offers.clear();
    this.#tooLarge.clear();
    this.#endAll(notLeading.details);
    this.#changed();
  }

  shareStore(config: SharedStoreConfig | undefined): void {
    const isSame = this.#store !== undefined && isDeepStrictEqual(config, this.#store.config);
    if (this.#epoch === undefined || isSame) {
      return;
    }
    const none = sharedStoreMessage(this.#epoch, undefined);
    this.#store = { config, message: config === undefined ? none : sharedStoreMessage(this.#epoch, config), none };
    for (const { stream } of this.#sidecars.values()) {
      stream?.offer();
    }
  }

  /** Sent by `publish`. */
  shareSecrets(secrets: ReadonlyMap<string, readonly DetectorSecret[]>): void {
    if (this.#epoch !== undefined) {
      this.#secrets.set(secrets);
    }
  }

  publish(policies: ReadonlyMap<string, GatewayPolicy>): void {
    if (this.#epoch === undefined) {
      return;
    }
    for (const fleet of [...this.#offers.keys(), ...this.#tooLarge.keys()]) {
      if (!policies.has(fleet)) {
        this.#offers.delete(fleet);
        this.#tooLarge.delete(fleet);
      }
    }
    for (const [fleet, policy] of policies) {
      this.#publishTo(fleet, policy, this.#epoch);
    }
    for (const { stream } of this.#sidecars.values()) {
      stream?.offer();
    }
  }

  sidecars(): readonly ConnectedSidecar[] {
    return [...this.#sidecars.values()].map(({ connected }) => connected);
  }

  published(fleet: string): Offer['version'] | undefined {
    return this.#offers.get(fleet)?.version;
  }

  excessBytes(fleet: string): number {
    return this.#tooLarge.get(fleet)?.excessBytes ?? 0;
  }

  async askConsole(podUid: string, content: ConsoleContent): Promise<ConsoleReplyBody | undefined> {
    return await this.#sidecars.get(podUid)?.stream?.ask(content);
  }

  onChange(callback: () => void): void {
    this.#callbacks.push(callback);
  }

  async close(): Promise<void> {
    this.#epoch = undefined;
    this.#endAll('the controller is shutting down');
    await this.#listener?.close();
  }

  #publishTo(fleet: string, policy: GatewayPolicy, epoch: number): void {
    const before = this.#offers.get(fleet);
    if (this.#tooLarge.get(fleet)?.version === policy.version) {
      return;
    }
    this.#tooLarge.delete(fleet);
    if (before?.version.version === policy.version) {
      return;
    }
    const content = policyText(policy);
    const excessBytes = content.length - (MAX_POLICY_BYTES - MESSAGE_OVERHEAD_BYTES);
    if (excessBytes > 0) {
      this.#tooLarge.set(fleet, { version: policy.version, excessBytes });
      this.#options.log.error({ fleet, bytes: content.length }, 'policy too large; the last one stays in force');
      return;
    }
    this.#offers.set(fleet, newOffer({ epoch, counter: ++this.#counter, version: policy.version }, content, before));
  }

  async #follow(call: FollowCall): Promise<void> {
    // Before anything is awaited: the error of a client that disconnects must have a listener.
    call.on('error', () => {});
    const refusal = await this.#review(call);
    if (refusal !== undefined) {
      call.emit('error', refusal);
    }
  }

  /** Returns why the stream is refused; undefined if it was accepted, or the client is gone. */
  async #review(call: FollowCall): Promise<StreamRefusal | undefined> {
    const peer = call.getPeer();
    const epoch = this.#epoch;
    if (epoch === undefined) {
      return notLeading;
    }
    const token = bearerOf(call);
    if (token === undefined) {
      this.#listener?.badToken(peer);
      return { code: status.UNAUTHENTICATED, details: 'a token of the pod’s service account is missing' };
    }
    this.#listener?.spoke(peer);
    if (this.#reviews >= MAX_REVIEWS) {
      return { code: status.RESOURCE_EXHAUSTED, details: 'too many tokens are being reviewed' };
    }
    const pod = await this.#podOf(token, peer);
    if (pod === 'unknown') {
      return { code: status.UNAVAILABLE, details: 'the token could not be reviewed' };
    }
    if (pod === undefined) {
      this.#listener?.badToken(peer);
      this.#options.log.warn({ peer }, 'token refused');
      return { code: status.UNAUTHENTICATED, details: 'the token is not valid' };
    }
    if (call.cancelled) {
      return undefined;
    }
    if (this.#epoch !== epoch) {
      return notLeading;
    }
    const fleet = this.#options.fleetOf(pod);
    if (fleet === undefined) {
      return { code: status.FAILED_PRECONDITION, details: 'the pod is no proxy of a Gateway of this controller' };
    }
    this.#listener?.known(peer);
    this.#accept(call, peer, pod, fleet);
    return undefined;
  }

  /** Returns `unknown` if the API server could not review the token. */
  async #podOf(token: string, peer: string): Promise<PodIdentity | undefined | 'unknown'> {
    this.#reviews++;
    try {
      return await within(REVIEW_TIMEOUT_MS, this.#options.review(token));
    } catch (error) {
      this.#options.log.warn({ err: error, peer }, 'token review failed');
      return 'unknown';
    } finally {
      this.#reviews--;
    }
  }

  #accept(call: FollowCall, peer: string, pod: PodIdentity, fleet: string): void {
    let sidecar: KnownSidecar | undefined;
    const mayShareStore = this.#options.mayShareStore(pod);
    const mayHaveSecrets = this.#options.mayHaveSecrets(pod);
    const stream = followSidecar(call, {
      wanted: () => this.#offers.get(fleet),
      sharedStore: () => (mayShareStore ? this.#store?.message : this.#store?.none),
      detectorSecrets: () => this.#secrets.messageFor(fleet, mayHaveSecrets ? undefined : pod.namespace),
      reported: (change) => {
        sidecar ??= this.#connect(pod, fleet, stream);
        sidecar.connected = { ...sidecar.connected, mayShareStore, mayHaveSecrets, ...change };
        this.#reported(pod, change);
      },
      ended: () => {
        if (sidecar !== undefined && this.#sidecars.get(pod.podUid) === sidecar) {
          this.#disconnect(sidecar);
        }
      },
      keysRequested: (url) => this.#options.keysRequested?.(url),
      alertRaised: (report, stored) => this.#options.alertRaised?.(report, fleet, stored),
      stateReported: (state) => {
        // No change of the configuration: who reads these does so at intervals.
        if (sidecar !== undefined) {
          sidecar.connected = { ...sidecar.connected, ...state };
        }
      },
      drop: () => this.#listener?.drop(peer),
    });
    // Confirms to the sidecar that its token was accepted, even if there is no policy yet.
    call.sendMetadata(new Metadata());
  }

  /** Replaces the sidecar's earlier stream, once the new one has said Hello. */
  #connect(pod: PodIdentity, fleet: string, stream: SidecarStream): KnownSidecar {
    const before = this.#sidecars.get(pod.podUid);
    clearTimeout(before?.leaving);
    const connected = { ...nothingReported, ...before?.connected, rests: [], pod, fleet };
    const sidecar: KnownSidecar = { connected, stream, leaving: undefined };
    this.#sidecars.set(pod.podUid, sidecar);
    before?.stream?.end(status.ABORTED, 'the sidecar has opened another stream');
    this.#options.log.info({ pod: pod.podName, namespace: pod.namespace, fleet }, 'sidecar connected');
    return sidecar;
  }

  #disconnect(sidecar: KnownSidecar): void {
    const { pod, fleet } = sidecar.connected;
    sidecar.stream = undefined;
    sidecar.leaving = setTimeout(() => {
      this.#sidecars.delete(pod.podUid);
      this.#options.log.info({ pod: pod.podName, namespace: pod.namespace, fleet }, 'sidecar disconnected');
      this.#changed();
    }, LINGER_MS);
  }

  #reported({ podName, namespace }: PodIdentity, change: Partial<ConnectedSidecar>): void {
    const epoch = change.acknowledged?.epoch ?? 0;
    if (this.#epoch !== undefined && epoch > this.#epoch) {
      this.#options.outdated?.(epoch);
    }
    if (change.refused) {
      this.#options.log.error({ pod: podName, namespace, ...change.refused }, 'sidecar refused policy');
    }
    this.#changed();
  }

  #endAll(details: string): void {
    for (const { stream, leaving } of this.#sidecars.values()) {
      clearTimeout(leaving);
      stream?.end(status.UNAVAILABLE, details);
    }
    this.#sidecars.clear();
  }

  #changed(): void {
    for (const callback of this.#callbacks) {
      callback();
    }
  }
}

async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
