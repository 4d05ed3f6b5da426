/**
 * Records Events for users' objects, shown by `kubectl describe`: the message of a condition at the
 * moment of its change. Nothing depends on them, so failed writes are not retried.
 */
import type { Log } from '../../runtime/log.ts';
import type { KubeClient } from './client.ts';
import type { KubeObject } from './object.ts';

const EVENTS = { apiVersion: 'events.k8s.io/v1', kind: 'Event', plural: 'events' } as const;

/** A condition that flaps must not fill the server. */
const REPEAT_AFTER_MS = 10 * 60_000;
const MAX_REMEMBERED = 10_000;
const MAX_PER_MINUTE = 120;
const NOTE_MAX_CHARACTERS = 1000;
/** The limit is 253; the rest makes the name unique. */
const NAME_MAX_CHARACTERS = 230;

export interface EventRecord {
  readonly object: KubeObject;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly note: string;
}

export interface EventRecorder {
  record(event: EventRecord): void;
}

export function newEventRecorder(client: KubeClient, instance: string, log: Log): EventRecorder {
  const recordedAtMs = new Map<string, number>();
  let minuteEndsMs = 0;
  let inMinute = 0;
  return {
    record({ object, type, reason, note }) {
      const nowMs = Date.now();
      const { namespace, name, uid, resourceVersion } = object.metadata;
      const key = `${uid} ${reason} ${note}`;
      if (nowMs - (recordedAtMs.get(key) ?? Number.NEGATIVE_INFINITY) < REPEAT_AFTER_MS) {
        return;
      }
      if (nowMs > minuteEndsMs) {
        minuteEndsMs = nowMs + 60_000;
        inMinute = 0;
      }
      if (++inMinute > MAX_PER_MINUTE) {
        return;
      }
      if (recordedAtMs.size >= MAX_REMEMBERED) {
        recordedAtMs.clear();
      }
      recordedAtMs.set(key, nowMs);
      const event: KubeObject = {
        apiVersion: EVENTS.apiVersion,
        kind: EVENTS.kind,
        metadata: {
          namespace,
          name: `${name.slice(0, NAME_MAX_CHARACTERS).replace(/[^a-z0-9]+$/, '')}.${nowMs.toString(16)}${Math.floor(Math.random() * 0xffff).toString(16)}`,
        },
        eventTime: `${new Date(nowMs).toISOString().slice(0, -1)}000Z`,
        type,
        reason,
        action: 'Reconcile',
        note: note.slice(0, NOTE_MAX_CHARACTERS),
        reportingController: 'tallygate.dev/controller',
        reportingInstance: instance.slice(0, 128),
        regarding: { apiVersion: object.apiVersion, kind: object.kind, namespace, name, uid, resourceVersion },
      };
      client.create(EVENTS, event).catch((error) => log.debug({ err: error }, 'event not written'));
    },
  };
}
