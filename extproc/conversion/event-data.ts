/** Finds the data of an event, which a decoder reads. */
import { EventData } from '../providers/event.ts';

/** Returns undefined where an event has no data. */
export type EventDataOf = (event: Uint8Array) => string | undefined;

/** Used by one event at a time. */
const DATA = new EventData();

/** Returns the data of a server-sent event. */
export function dataOfEvent(event: Uint8Array): string | undefined {
  if (!DATA.find(event, 0, event.length)) {
    return undefined;
  }
  const { bytes, start, end } = DATA;
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString();
}
