/**
 * Events that carry text on: where an event may wait no longer, the part of its text that is not
 * decided stays behind, and reaches the client in a later event.
 */
import { asciiText } from '../../json/unescape.ts';
import { EventData } from '../../providers/event.ts';
import { JsonStrings, type PathStep } from '../text/json-strings.ts';

/** The bytes of an event before and after the contents of its only text. */
export interface Carrier {
  readonly before: Uint8Array;
  readonly after: Uint8Array;
}

type EventMember = string | number | boolean | null | readonly EventMember[] | { readonly [key: string]: EventMember };

/** Events of these lists add to what the client has, in any order among choices. */
const addingLists: ReadonlySet<PathStep> = new Set(['choices', 'candidates']);

const rootMembers: ReadonlySet<string> = new Set(['id', 'object', 'created', 'model', 'responseId', 'modelVersion']);
const innerMembers: ReadonlySet<string> = new Set(['index', 'finish_reason', 'thought']);

/**
 * Returns an event that adds to the same text as an event whose text begins at `at`; undefined
 * where its API does not allow one.
 */
export function carrierOf(event: Uint8Array, at: number): Carrier | undefined {
  const data = new EventData();
  if (!data.find(event, 0, event.length) || !data.inPlace) {
    return undefined;
  }
  const path = pathOf(event, data, at);
  if (path === undefined || !addingLists.has(path[0]!)) {
    return undefined;
  }
  const root = JSON.parse(Buffer.from(event.subarray(data.start, data.end)).toString()) as EventMember;
  const [before, after] = around(root, path, rootMembers);
  const name = asciiText(event, 0, data.start).endsWith('data:') ? 'data:' : 'data: ';
  return { before: Buffer.from(`${name}${before}`), after: Buffer.from(`${after}\n\n`) };
}

function pathOf(event: Uint8Array, data: EventData, at: number): readonly PathStep[] | undefined {
  let path: readonly PathStep[] | undefined;
  const walker: JsonStrings = new JsonStrings({
    string: (start) => {
      path = start === at ? [...walker.path] : path;
    },
  });
  return walker.walk(event, data.start, data.end) ? path : undefined;
}

function around(
  value: EventMember,
  path: readonly PathStep[],
  members: ReadonlySet<string>,
): readonly [string, string] {
  const [step, ...rest] = path;
  if (step === undefined) {
    return ['"', '"'];
  }
  const [before, after] = around((value as { readonly [key: string]: EventMember })[step]!, rest, innerMembers);
  if (typeof step === 'number') {
    return [`[${before}`, `${after}]`];
  }
  const others = Object.entries(value as object).filter(
    ([key, each]) => members.has(key) && key !== step && (typeof each !== 'object' || each === null),
  );
  const prefix = others.map(([key, each]) => `${JSON.stringify(key)}:${JSON.stringify(each)},`).join('');
  return [`{${prefix}${JSON.stringify(step)}:${before}`, `${after}}`];
}
