/**
 * Policies on their way to the sidecars: one gRPC stream for each, over TLS, opened with a token of the pod's service account that is reviewed. In come the
 * policies by fleet, out goes what each sidecar has, refuses, and has proved. Only the leader serves.
 */
import { Metadata, status } from '@grpc/grpc-js';
import type { GatewayPolicy } from '../../contract/policy.ts';
import { policyText } from '../../contract/policy-text.ts';
import type { Log } from '../../runtime/log.ts';
import type { ServerCertificate } from './ca.ts';
import { LINGER_MS, MAX_POLICY_BYTES, MAX_REVIEWS, MAX_TOKEN_CHARACTERS, REVIEW_TIMEOUT_MS } from './limits.ts';
import { type Listener, listen } from './listener.ts';
import { type Connected, followSidecar, type PodIdentity, type SidecarStream } from './sidecar.ts';
import { type FollowCall, followService, newOffer, type Offer } from './wire.ts';

export interface PushServerOptions {
  readonly address: { readonly host: string; readonly port: number };
  /** Asked at each connection, so that a renewed one is used at once; undefined: nobody is answered. */
  readonly credentials: () => ServerCertificate | undefined;
  /** Undefined: the token is not good. Throws where that cannot be found out now. */
  readonly review: (token: string) => Promise<PodIdentity | undefined>;
  /** The name under which the policy of the pod's proxies is published; undefined: none of ours. */
  readonly fleetOf: (pod: PodIdentity) => string | undefined;
  /** A sidecar has a policy of a later leader than this one: its clock was ahead, or this one leads no more. */
  readonly outdated?: (epoch: number) => void;
  readonly log: Log;
}

export interface PushServer {
  readonly port: number;
  /** Who leads; each leader's epoch is higher than all before. Undefined: somebody else leads. */
  setLeader(epoch: number | undefined): void;
  /** All policies by fleet, as they should be now. Nothing happens where content and leader are the same. */
  publish(policies: ReadonlyMap<string, GatewayPolicy>): void;
  sidecars(): readonly Connected[];
  /** What the sidecars of a fleet should have acknowledged. */
  published(fleet: string): Offer['version'] | undefined;
  /** Called when `sidecars()` has changed. */
  onChange(callback: () => void): void;
  close(): Promise<void>;
}

interface Known {
  connected: Connected;
  stream: SidecarStream | undefined;
  leaving: NodeJS.Timeout | undefined;
}

export async function startPushServer(options: PushServerOptions): Promise<PushServer> {
  const { log } = options;
  const offers = new Map<string, Offer>();
  const sidecars = new Map<string, Known>();
  const callbacks: (() => void)[] = [];
  let epoch: number | undefined;
  let counter = 0;
  let reviews = 0;
  const changed = () => {
    for (const callback of callbacks) {
      callback();
    }
  };
  const endAll = (details: string) => {
    for (const { stream, leaving } of sidecars.values()) {
      clearTimeout(leaving);
      stream?.end(status.UNAVAILABLE, details);
    }
    sidecars.clear();
  };

  const follow = async (call: FollowCall, listener: Listener) => {
    const peer = call.getPeer();
    const refuse = (code: status, details: string) => call.emit('error', { code, details });
    // Before anything is awaited: a client that goes away must not be an unheard error.
    call.on('error', () => {});
    const term = epoch;
    if (term === undefined) {
      return refuse(status.UNAVAILABLE, 'another replica of the controller leads');
    }
    const token = bearerOf(call);
    if (token === undefined) {
      listener.badToken(peer);
      return refuse(status.UNAUTHENTICATED, 'a token of the pod’s service account is missing');
    }
    listener.spoke(peer);
    if (reviews >= MAX_REVIEWS) {
      return refuse(status.RESOURCE_EXHAUSTED, 'too many tokens are being reviewed');
    }
    let pod: PodIdentity | undefined;
    reviews++;
    try {
      pod = await within(REVIEW_TIMEOUT_MS, options.review(token));
    } catch (error) {
      log.warn({ error, peer }, 'a sidecar’s token could not be reviewed');
      return refuse(status.UNAVAILABLE, 'the token could not be reviewed');
    } finally {
      reviews--;
    }
    if (pod === undefined) {
      listener.badToken(peer);
      log.warn({ peer }, 'a token was refused');
      return refuse(status.UNAUTHENTICATED, 'the token is not good');
    }
    if (call.cancelled) {
      return undefined;
    }
    if (epoch !== term) {
      return refuse(status.UNAVAILABLE, 'another replica of the controller leads');
    }
    const fleet = options.fleetOf(pod);
    if (fleet === undefined) {
      return refuse(status.FAILED_PRECONDITION, 'the pod is no proxy of a Gateway that is served');
    }
    listener.known(peer);
    return admit(call, pod, fleet, () => listener.drop(peer));
  };

  const admit = (call: FollowCall, pod: PodIdentity, fleet: string, drop: () => void) => {
    let known: Known | undefined;
    const stream = followSidecar(call, {
      wanted: () => offers.get(fleet),
      said(change) {
        if (known === undefined) {
          // Only one that has said Hello takes the place of the stream before.
          const before = sidecars.get(pod.podUid);
          clearTimeout(before?.leaving);
          known = { connected: { ...nothingKnown, ...before?.connected, pod, fleet }, stream, leaving: undefined };
          sidecars.set(pod.podUid, known);
          before?.stream?.end(status.ABORTED, 'the sidecar has opened another stream');
          log.info({ pod: pod.podName, namespace: pod.namespace, fleet }, 'sidecar connected');
        }
        known.connected = { ...known.connected, ...change };
        const held = change.acknowledged?.epoch ?? 0;
        if (epoch !== undefined && held > epoch) {
          options.outdated?.(held);
        }
        if (change.refused) {
          log.error({ pod: pod.podName, namespace: pod.namespace, ...change.refused }, 'a sidecar refuses its policy');
        }
        changed();
      },
      ended() {
        if (known === undefined || sidecars.get(pod.podUid) !== known) {
          return;
        }
        known.stream = undefined;
        known.leaving = setTimeout(() => {
          sidecars.delete(pod.podUid);
          log.info({ pod: pod.podName, namespace: pod.namespace, fleet }, 'sidecar gone');
          changed();
        }, LINGER_MS);
      },
      drop,
    });
    // Tells the sidecar that it is heard, also where there is no policy yet.
    call.sendMetadata(new Metadata());
  };

  const listener: Listener = await listen({
    address: options.address,
    credentials: options.credentials,
    addServices: (server) =>
      server.addService(followService, { Follow: (call: FollowCall) => void follow(call, listener) }),
  });
  return {
    port: listener.port,
    setLeader(next) {
      if (next === epoch) {
        return;
      }
      epoch = next;
      counter = 0;
      offers.clear();
      endAll('another replica of the controller leads');
      changed();
    },
    publish(policies) {
      if (epoch === undefined) {
        return;
      }
      for (const fleet of offers.keys()) {
        if (!policies.has(fleet)) {
          offers.delete(fleet);
        }
      }
      for (const [fleet, policy] of policies) {
        if (offers.get(fleet)?.version.version === policy.version) {
          continue;
        }
        const content = policyText(policy);
        if (content.length > MAX_POLICY_BYTES - 1024) {
          log.error({ fleet, bytes: content.length }, 'a policy is too large to be sent; the last one stays in force');
          continue;
        }
        offers.set(fleet, newOffer({ epoch, counter: ++counter, version: policy.version }, content));
      }
      for (const { stream } of sidecars.values()) {
        stream?.offer();
      }
    },
    sidecars: () => [...sidecars.values()].map(({ connected }) => connected),
    published: (fleet) => offers.get(fleet)?.version,
    onChange: (callback) => void callbacks.push(callback),
    close() {
      epoch = undefined;
      endAll('the controller ends');
      return listener.close();
    },
  };
}

const nothingKnown = {
  programVersion: '',
  formatVersions: [],
  acknowledged: undefined,
  refused: undefined,
  configCheck: undefined,
};

/** Only what has the form of a token is worth a review. */
function bearerOf(call: FollowCall): string | undefined {
  const value = call.metadata.get('authorization')[0];
  if (typeof value !== 'string' || value.length > MAX_TOKEN_CHARACTERS) {
    return undefined;
  }
  return /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/.exec(value)?.[1];
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
