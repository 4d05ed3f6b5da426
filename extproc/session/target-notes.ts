/** Keeps what sessions report of the targets of their requests, for the choices of later ones. */
import type { ActionOf } from './protocol.ts';
import type { SessionServices } from './services.ts';

type TargetNote = ActionOf<'health' | 'rest' | 'first-token'>;

export function noteTarget(
  note: TargetNote,
  { health, firstTokenTimes, now }: Pick<SessionServices, 'health' | 'firstTokenTimes' | 'now'>,
): void {
  switch (note.type) {
    case 'health':
      health.saw(note.target, note.well, now());
      break;
    case 'rest':
      health.rest(note.rest, now());
      break;
    case 'first-token':
      if (note.came) {
        firstTokenTimes.observe(note.key, note.ms, now());
      } else {
        firstTokenTimes.observeNone(note.key, note.ms, now());
      }
      break;
    default:
      throw new Error(`unknown action ${(note satisfies never as TargetNote).type}`);
  }
}
