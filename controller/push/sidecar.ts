/** One stream of a sidecar whose token is good: one policy under way at a time, and after its answer the newest one, so that a slow sidecar queues nothing. */
import { status } from '@grpc/grpc-js';
import type { ConfigCheck, SidecarMessage } from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';
import { ANSWER_TIMEOUT_MS, MAX_STREAM_AGE_MS, STRANGER_LIFE_MS } from './limits.ts';
import { type FollowCall, type Offer, type PolicyVersion, plainVersion } from './wire.ts';

export interface PodIdentity {
  readonly podName: string;
  readonly podUid: string;
  readonly namespace: string;
}

/** What is known of a sidecar. */
export interface Connected {
  readonly pod: PodIdentity;
  readonly fleet: string;
  readonly programVersion: string;
  /** Format versions of the policy that it reads. */
  readonly formatVersions: readonly number[];
  /** What it has in force. */
  readonly acknowledged: PolicyVersion | undefined;
  /** What it was offered last, if it keeps what it had instead. */
  readonly refused: { readonly version: PolicyVersion; readonly reason: string } | undefined;
  /** What its Envoy said last; look at the version in it. */
  readonly configCheck: ConfigCheck | undefined;
}

export interface SidecarStream {
  /** Looks for a newer policy. */
  offer(): void;
  end(code: status, details: string): void;
}

export interface SidecarHooks {
  /** What its fleet should have now. */
  readonly wanted: () => Offer | undefined;
  /** After Hello, and at each change. */
  readonly said: (change: Partial<Connected>) => void;
  readonly ended: () => void;
  /** Ends the connection of a peer that takes nothing any more. */
  readonly drop: () => void;
}

const REASON_MAX_CHARACTERS = 1000;

export function followSidecar(call: FollowCall, { wanted, said, ended, drop }: SidecarHooks): SidecarStream {
  let over = false;
  let offered: Offer | undefined;
  let inForce = '';
  let waiting: NodeJS.Timeout | undefined;
  let greeted = false;
  const end = (code: status, details: string) => {
    if (over) {
      return;
    }
    finish();
    // Not by `end()`, which says OK only.
    if (code === status.OK) {
      call.end();
    } else {
      call.emit('error', { code, details });
    }
    setTimeout(drop, 1000).unref();
  };
  const finish = () => {
    if (over) {
      return;
    }
    over = true;
    clearTimeout(waiting);
    clearTimeout(age);
    ended();
  };
  // Not all at once after a new leader came.
  const age = setTimeout(() => end(status.OK, ''), MAX_STREAM_AGE_MS * (0.9 + Math.random() / 10));
  const awaitAnswer = (timeoutMs: number) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => end(status.DEADLINE_EXCEEDED, 'the sidecar does not answer'), timeoutMs);
  };
  const offer = () => {
    const next = wanted();
    if (over || !greeted || waiting !== undefined || next === undefined || next === offered) {
      return;
    }
    offered = next;
    awaitAnswer(ANSWER_TIMEOUT_MS);
    call.write(next.version.version === inForce ? next.versionOnly : next.whole);
  };
  const answered = (change: Partial<Connected>) => {
    clearTimeout(waiting);
    waiting = undefined;
    if (change.acknowledged) {
      inForce = change.acknowledged.version;
    }
    said(change);
    offer();
  };
  const hear = ({ message }: SidecarMessage) => {
    if (over) {
      return;
    }
    if (!greeted && message.case !== 'hello') {
      return end(status.FAILED_PRECONDITION, 'the first message must be Hello');
    }
    switch (message.case) {
      case 'hello': {
        if (greeted) {
          return end(status.FAILED_PRECONDITION, 'Hello came twice');
        }
        greeted = true;
        const { programVersion, formatVersions } = message.value;
        const acknowledged = plainVersion(message.value.inForce);
        return answered({ programVersion, formatVersions, acknowledged, refused: undefined });
      }
      case 'acknowledge':
        return answered({ acknowledged: plainVersion(message.value.version), refused: undefined });
      case 'refuse': {
        const version = plainVersion(message.value.version);
        const reason = message.value.reason.slice(0, REASON_MAX_CHARACTERS);
        return version === undefined ? undefined : answered({ refused: { version, reason } });
      }
      case 'configCheck':
        return said({ configCheck: message.value });
      default:
        return undefined;
    }
  };
  call.on('data', hear);
  call.on('end', () => end(status.OK, ''));
  call.on('cancelled', finish);
  call.on('error', finish);
  awaitAnswer(STRANGER_LIFE_MS);
  return { offer, end };
}
