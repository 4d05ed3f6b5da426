/**
 * Tools of the Responses API that are no plain functions: custom tools take text, and tools of a
 * namespace have two names. Other APIs see functions with one name, and the client's form comes
 * back by that name.
 */
import type { JsonRecord } from '../conversation.ts';
import { listOf, parsedRecord, recordOf, stringOf } from '../json-values.ts';

/** How the client calls a tool. */
export interface ToolIdentity {
  readonly name: string;
  readonly namespace: string | undefined;
  /** Takes text instead of JSON. */
  readonly custom: boolean;
}

/** By the name in other APIs. Plain functions are missing. */
export type ToolIdentities = ReadonlyMap<string, ToolIdentity>;

/** Returns the one name of a tool. */
export function functionName(name: string, namespace: string | undefined): string {
  return namespace === undefined ? name : `${namespace}${namespace.endsWith('_') ? '' : '__'}${name}`;
}

export function toolIdentities(tools: unknown): ToolIdentities {
  const identities = new Map<string, ToolIdentity>();
  const add = (tool: JsonRecord, namespace: string | undefined) => {
    const name = stringOf(tool['name']);
    const custom = tool['type'] === 'custom';
    if (name !== undefined && (custom || namespace !== undefined)) {
      identities.set(functionName(name, namespace), { name, namespace, custom });
    }
  };
  for (const each of listOf(tools) ?? []) {
    const tool = recordOf(each) ?? {};
    if (tool['type'] !== 'namespace') {
      add(tool, undefined);
      continue;
    }
    for (const member of listOf(tool['tools']) ?? []) {
      add(recordOf(member) ?? {}, stringOf(tool['name']));
    }
  }
  return identities;
}

/** The only parameter of the function that stands for a custom tool. */
const INPUT = 'input';

export const customToolParameters: JsonRecord = {
  type: 'object',
  properties: { [INPUT]: { type: 'string' } },
  required: [INPUT],
  additionalProperties: false,
};

export function customToolArguments(input: string): string {
  return JSON.stringify({ [INPUT]: input });
}

const INPUT_START = /^\s*\{\s*"input"\s*:\s*"/;
/** `\ud83d\udc0` is the longest beginning of an escape. */
const MAX_UNFINISHED_ESCAPE = 11;

/** Returns the text for a custom tool, also of arguments that end early. */
export function customToolInput(text: string): string {
  const whole = stringOf(parsedRecord(text)?.[INPUT]);
  if (whole !== undefined) {
    return whole;
  }
  const start = INPUT_START.exec(text);
  if (start === null) {
    return text;
  }
  const rest = text.slice(start[0].length);
  for (let dropped = 0; dropped <= Math.min(rest.length, MAX_UNFINISHED_ESCAPE); dropped++) {
    try {
      return JSON.parse(`"${rest.slice(0, rest.length - dropped)}"`) as string;
    } catch {
      // The text ends within an escape.
    }
  }
  return text;
}
