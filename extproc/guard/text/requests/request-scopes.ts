/**
 * Decides whose words a string of a request is. One table serves all client APIs, because their
 * names for messages, parts and tools do not contradict each other, and what one API does not know
 * counts as the words of the enclosing message.
 */
import { type GuardScope, guardScopes, type TextFragment } from '../fragment.ts';
import { sealedMembers, sealedTypes } from '../member-names.ts';
import { containers, identifiers, instructions } from './request-names.ts';

/** What is known of an object once it has ended: its members may come in any order. */
export interface ObjectFacts {
  /** Undefined for the whole request. */
  readonly parent: ObjectFacts | undefined;
  /** The key under which the object is, or the key of its list. */
  readonly key: string;
  /** The APIs have a schema for the object; otherwise its members may have any name. */
  readonly hasSchema: boolean;
  role: string | undefined;
  type: string | undefined;
  /** Gemini marks reasoning so. */
  isThought: boolean;
  /** A signature covers the reasoning in the object. */
  isSigned: boolean;
}

/** Whose words a string is. `json`: the string contains JSON. */
export interface StringUse extends Pick<TextFragment, 'scope' | 'form'> {
  /** A signature covers the string, so it cannot be changed. */
  readonly isSigned: boolean;
}

// Maps, because a client chooses the names: an object would have a `constructor`.
const roles: ReadonlyMap<string, GuardScope> = new Map([
  ['system', 'system'],
  ['developer', 'system'],
  ['user', 'user'],
  ['assistant', 'assistant'],
  ['model', 'assistant'],
  ['tool', 'toolResult'],
  ['function', 'toolResult'],
]);

/** Members that hold base64 in these parts. */
const encoded: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['data', new Set(['source', 'input_audio', 'inlineData', 'inline_data', 'audio'])],
  ['file_data', new Set(['file', 'content', 'input'])],
]);

/** Parts that a model writes to call a tool. */
const TOOL_CALL = /(^|_)(tool_use|call)$/;
/** Parts that answer a tool. */
const TOOL_RESULT = /(^|_)(tool_result|call_output|approval_response)$/;

/** Members by which an object belongs to a tool, whatever its type. */
const toolMembers: ReadonlyMap<string, GuardScope> = new Map([
  ['tool_calls', 'toolCall'],
  ['function_call', 'toolCall'],
  ['functionCall', 'toolCall'],
  ['executableCode', 'toolCall'],
  ['functionResponse', 'toolResult'],
  ['function_response', 'toolResult'],
  ['codeExecutionResult', 'toolResult'],
]);

/** Members of a call that hold what came of the call. */
const results: ReadonlySet<string> = new Set(['output', 'outputs', 'results', 'result', 'error']);

/** The uses of strings: one object for each, because a request has many strings. */
const uses: ReadonlyMap<GuardScope, StringUse> = new Map(
  guardScopes.map((scope) => [scope, { scope, form: 'text', isSigned: false }]),
);
const TOOL_ARGUMENTS: StringUse = { scope: 'toolCall', form: 'json', isSigned: false };
const SIGNED_REASONING: StringUse = { scope: 'reasoning', form: 'text', isSigned: true };

/** The use of sealed reasoning that can be read, and so is none. */
export const SEALED: StringUse = SIGNED_REASONING;

/** Whether the APIs have a schema for the object of a member. */
export function hasOwnSchema(parent: ObjectFacts, key: string): boolean {
  // Only the whole request has its items in `input`: elsewhere, a tool gets what it wants.
  return parent.hasSchema && containers.has(key) && (key !== 'input' || parent.parent === undefined);
}

/** Returns what is known of an object when it begins. */
export function newFacts(parent: ObjectFacts | undefined, key: string, hasSchema: boolean): ObjectFacts {
  return { parent, key, hasSchema, role: undefined, type: undefined, isThought: false, isSigned: false };
}

/** Whether a string is an identifier or an encoded file, and so no text. */
export function isNoText(object: ObjectFacts | undefined, key: string): boolean {
  return object?.hasSchema === true && (identifiers.has(key) || isEncodedFile(object, key));
}

/** Whether a string must be a signature, or reasoning that only its provider can read. */
export function isSealed(object: ObjectFacts | undefined, key: string): boolean {
  if (object?.hasSchema !== true) {
    return false;
  }
  return sealedMembers.has(key) || (key === 'data' && sealedTypes.has(object.type ?? ''));
}

/**
 * Returns the use of a string. `object`: the innermost one around the string; `key`: the member
 * that has the string, or the list of strings.
 */
export function stringUse(object: ObjectFacts | undefined, key: string): StringUse {
  let role: GuardScope | undefined;
  let isSigned = false;
  let member = key;
  for (let at = object; at?.parent !== undefined; at = at.parent) {
    isSigned ||= at.isSigned;
    const scope = ownScope(at, member);
    if (scope !== undefined) {
      return scope === 'reasoning' && isSigned
        ? SIGNED_REASONING
        : scope === 'toolCall' && key === 'arguments'
          ? TOOL_ARGUMENTS
          : uses.get(scope)!;
    }
    role ??= at.role === undefined ? undefined : roles.get(at.role);
    member = at.key;
  }
  return uses.get(role ?? (instructions.has(member) ? 'system' : 'user'))!;
}

function isEncodedFile({ key: parent, type = '' }: ObjectFacts, key: string): boolean {
  const parts = encoded.get(key);
  return parts !== undefined && (type === 'base64' || (parts.has(parent) && type !== 'text'));
}

/** Returns whose words the member of an object is by the object's own kind. */
function ownScope({ key, type, isThought }: ObjectFacts, member: string): GuardScope | undefined {
  if (isThought || REASONING_MEMBERS.has(member)) {
    return 'reasoning';
  }
  if (type !== undefined) {
    if (type === 'thinking' || type === 'reasoning') {
      return 'reasoning';
    }
    if (TOOL_RESULT.test(type)) {
      return 'toolResult';
    }
    if (TOOL_CALL.test(type)) {
      return results.has(member) ? 'toolResult' : 'toolCall';
    }
  }
  return toolMembers.get(key) ?? toolMembers.get(member);
}

/** Of servers of OpenAI's API. */
const REASONING_MEMBERS: ReadonlySet<string> = new Set(['reasoning_content', 'reasoning', 'reasoning_details']);
