/** Events beside users' objects, for `kubectl describe`: what is told in a condition, at the moment of the change. Nothing depends on them, so none is tried twice. */
import type { Log } from '../../runtime/log.ts';
import type { Client } from './client.ts';
import type { KubeObject } from './object.ts';

const EVENTS = { apiVersion: 'events.k8s.io/v1', kind: 'Event', plural: 'events' } as const;

/** A change that goes to and fro must not fill the server. */
const SAME_AGAIN_MS = 10 * 60_000;
const MAX_REMEMBERED = 10_000;
const MAX_A_MINUTE = 120;
const NOTE_MAX_CHARACTERS = 1000;
/** Of 253; the rest is for what tells events apart. */
const NAME_MAX_CHARACTERS = 230;

export interface Told {
  readonly object: KubeObject;
  readonly type: 'Normal' | 'Warning';
  /** In CamelCase. */
  readonly reason: string;
  readonly note: string;
}

export interface Events {
  tell(told: Told): void;
}

export function newEvents(client: Client, instance: string, log: Log): Events {
  const told = new Map<string, number>();
  let minuteEndsMs = 0;
  let inMinute = 0;
  return {
    tell({ object, type, reason, note }) {
      const nowMs = Date.now();
      const { namespace, name, uid, resourceVersion } = object.metadata;
      const key = `${uid} ${reason} ${note}`;
      if (nowMs - (told.get(key) ?? Number.NEGATIVE_INFINITY) < SAME_AGAIN_MS) {
        return;
      }
      if (nowMs > minuteEndsMs) {
        minuteEndsMs = nowMs + 60_000;
        inMinute = 0;
      }
      if (++inMinute > MAX_A_MINUTE) {
        return;
      }
      if (told.size >= MAX_REMEMBERED) {
        told.clear();
      }
      told.set(key, nowMs);
      const event: KubeObject = {
        apiVersion: EVENTS.apiVersion,
        kind: EVENTS.kind,
        metadata: {
          namespace,
          name: `${name.slice(0, NAME_MAX_CHARACTERS).replace(/[^a-z0-9]+$/, '')}.${nowMs.toString(16)}${Math.floor(Math.random() * 0xffff).toString(16)}`,
        },
        eventTime: `${new Date(nowMs).toISOString().slice(0, -1)}000Z`,
        ...{ type, reason, action: 'Reconcile', note: note.slice(0, NOTE_MAX_CHARACTERS) },
        ...{ reportingController: 'tallygate.dev/controller', reportingInstance: instance.slice(0, 128) },
        regarding: { apiVersion: object.apiVersion, kind: object.kind, namespace, name, uid, resourceVersion },
      };
      client
        .create(EVENTS, event)
        .catch((error) => log.debug({ error: String(error) }, 'an event could not be written'));
    },
  };
}
