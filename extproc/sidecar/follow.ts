/**
 * The sidecar's side of the policy push: a stream to the controller that is opened again whenever it ends. In come policies, which are applied and kept on disk;
 * out go what is in force, what was refused and why, and what Envoy proves. Without the controller the last good policy stays.
 */
import { readFileSync } from 'node:fs';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type GatewayPolicy, POLICY_FORMAT_VERSION } from '../../contract/policy.ts';
import type { Policy, SidecarMessageSchema } from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';
import type { Log } from '../../runtime/log.ts';
import { openPolicyCache, type PolicyCache, readLastGoodPolicy } from '../policy/last-good-policy.ts';
import { newPolicyReader } from '../policy/read.ts';
import { isOlder, type PolicyVersion, plainVersion, wireVersion } from '../policy/version.ts';
import type { ConfigCheckReport } from './config-verifier.ts';
import { pendingRoutes } from './pending-routes.ts';
import { openStream, type PolicyStream } from './stream.ts';

const BACKOFF_FIRST_MS = 100;
const BACKOFF_MOST_MS = 5000;
/** Of the controller's replicas only one serves, and its Service leads to any of them: so many attempts follow each other closely. */
const ATTEMPTS_TOGETHER = 3;
/** A stream that lived so long was a good one. */
const SETTLED_AFTER_MS = 10_000;
const REASON_MAX_CHARACTERS = 500;

export interface FollowOptions {
  /** `HOST:PORT`. */
  readonly controller: string;
  /** Files, read anew at each attempt: the kubelet exchanges both. */
  readonly tokenPath: string;
  readonly caPath: string;
  readonly programVersion: string;
  /** Where the last good policy is kept; undefined: nowhere. */
  readonly folder: string | undefined;
  /** Rejects when the policy cannot be used. */
  readonly apply: (policy: GatewayPolicy) => void | Promise<void>;
  /** A policy that leads a route in force to another backend waits for this. Never rejects. */
  readonly routed?: (routeNames: readonly string[]) => Promise<void>;
  /** What came into force, and the Envoy routes that it names. */
  readonly applied?: (version: PolicyVersion, routeNames: readonly string[]) => void;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
}

type Said = NonNullable<MessageInitShape<typeof SidecarMessageSchema>['message']>;

export interface FollowedController {
  /** Resolves when the policy that was kept on disk, if there is one, is in force. */
  readonly begun: Promise<void>;
  /** For `/readyz`. */
  details(): Readonly<Record<string, string>>;
  /** Told now, and at each new stream. */
  reportConfigCheck(check: ConfigCheckReport): void;
  close(): Promise<void>;
}

export function followController(options: FollowOptions): FollowedController {
  const { log } = options;
  const keeper: PolicyCache | undefined =
    options.folder === undefined ? undefined : openPolicyCache(options.folder, log);
  let inForce: PolicyVersion | undefined;
  let policyInForce: GatewayPolicy | undefined;
  let refusal: { readonly version: string; readonly reason: string } | undefined;
  let configCheck: ConfigCheckReport | undefined;
  let away: string | undefined = 'not asked yet';
  let closed = false;
  let stream: PolicyStream | undefined;
  let retry: NodeJS.Timeout | undefined;
  let failures = 0;
  let openedAtMs = Number.POSITIVE_INFINITY;

  const enforce = async (version: PolicyVersion, policy: GatewayPolicy) => {
    await options.apply(policy);
    inForce = version;
    policyInForce = policy;
    options.applied?.(
      version,
      policy.virtualHosts.flatMap(({ routeNames }) => routeNames),
    );
  };
  const reader = newPolicyReader();
  /** One after the other: the controller sends the next one after an answer, but a new stream may come while an old one's is being read. */
  let taking: Promise<void> = Promise.resolve();
  const send = (message: Said) => stream?.send({ message });
  const sendProof = () => {
    if (configCheck === undefined) {
      return;
    }
    send({ case: 'configCheck', value: { ...configCheck, version: wireVersion(configCheck.version) } });
  };

  /** The reason why it is not taken. */
  const take = async ({ version: message, content }: Policy): Promise<string | undefined> => {
    const version = plainVersion(message);
    if (version === undefined) {
      return 'the policy has no version';
    }
    if (inForce !== undefined && isOlder(version, inForce)) {
      return `it is older than the policy in force (${inForce.epoch}/${inForce.counter})`;
    }
    if (content === undefined) {
      if (inForce?.version !== version.version) {
        return 'the policy has no content';
      }
      inForce = version;
    } else {
      try {
        const policy = await reader.read(Buffer.from(content.buffer, content.byteOffset, content.byteLength));
        const awaited = policyInForce === undefined ? [] : pendingRoutes(policyInForce, policy);
        if (awaited.length > 0) {
          await options.routed?.(awaited);
        }
        if (closed) {
          return undefined;
        }
        await enforce(version, policy);
      } catch (error) {
        return (error instanceof Error ? error.message : String(error)).slice(0, REASON_MAX_CHARACTERS);
      }
    }
    keeper?.keep(version, content);
    return undefined;
  };

  const answer = async (policy: Policy, from: PolicyStream | undefined) => {
    const reason = await take(policy);
    // A later stream says by its Hello what is in force, and is answered for what it brings.
    if (closed || stream !== from) {
      return;
    }
    const version = policy.version ?? wireVersion({ epoch: 0, counter: 0, version: '' });
    if (reason === undefined) {
      refusal = undefined;
      failures = 0;
      send({ case: 'acknowledge', value: { version } });
      return;
    }
    refusal = { version: version.version, reason };
    log.error(refusal, 'the policy cannot be used; the last good one stays in force');
    send({ case: 'refuse', value: { version, reason } });
    // A leader of the past may serve for a moment: the next attempt finds the new one.
    const offered = plainVersion(policy.version);
    if (inForce !== undefined && offered !== undefined && isOlder(offered, inForce)) {
      from?.close();
    }
  };

  const attempt = () => {
    if (closed) {
      return;
    }
    openedAtMs = Number.POSITIVE_INFINITY;
    let opened: PolicyStream;
    try {
      opened = openStream({
        controller: options.controller,
        ca: readFileSync(options.caPath),
        token: readFileSync(options.tokenPath, 'utf8').trim(),
        opened() {
          if (away !== undefined) {
            log.info({ controller: options.controller }, 'the controller is there');
          }
          away = undefined;
          openedAtMs = performance.now();
          sendProof();
        },
        heard(policy) {
          const from = stream;
          taking = taking.then(() => answer(policy, from));
        },
        ended,
      });
    } catch (error) {
      again(error instanceof Error ? error.message : String(error));
      return;
    }
    stream = opened;
    send({
      case: 'hello',
      value: {
        programVersion: options.programVersion,
        formatVersions: [POLICY_FORMAT_VERSION],
        ...(inForce === undefined ? {} : { inForce: wireVersion(inForce) }),
      },
    });
  };

  const ended = (reason: string | undefined) => {
    stream = undefined;
    if (performance.now() - openedAtMs > SETTLED_AFTER_MS) {
      failures = 0;
    }
    again(reason);
  };

  /** `reason` undefined: the controller ended the stream in order, to see the token anew. */
  const again = (reason: string | undefined) => {
    if (closed) {
      return;
    }
    if (reason !== undefined && away === undefined) {
      log.warn(
        { controller: options.controller, reason },
        'the controller is away; the last good policy stays in force',
      );
    }
    if (reason !== undefined) {
      away = reason;
    }
    failures++;
    const rounds = Math.floor(failures / ATTEMPTS_TOGETHER);
    const pauses = failures % ATTEMPTS_TOGETHER === 0;
    const delayMs = pauses ? Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** rounds) : BACKOFF_FIRST_MS;
    retry = setTimeout(attempt, delayMs * (0.5 + Math.random() / 2));
  };

  const begin = async () => {
    try {
      const kept = options.folder === undefined ? undefined : await readLastGoodPolicy(options.folder, reader);
      if (kept !== undefined && !closed) {
        await enforce(kept.version, kept.policy);
      }
    } catch (error) {
      log.warn({ error }, 'the policy that is kept on disk cannot be used');
    }
    attempt();
  };
  const begun = begin();
  return {
    begun,
    details: () => ({
      policy: inForce?.version ?? '',
      controller: away === undefined ? 'connected' : away,
      ...(refusal === undefined ? {} : { refused: refusal.version, refusal: refusal.reason }),
    }),
    reportConfigCheck(next) {
      configCheck = next;
      if (away === undefined) {
        sendProof();
      }
    },
    async close() {
      closed = true;
      clearTimeout(retry);
      stream?.close();
      await keeper?.settled();
    },
  };
}
