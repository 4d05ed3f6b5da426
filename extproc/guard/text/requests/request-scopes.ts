/**
 * Decides whose words a string of a request is. One table serves all client APIs, because their
 * names for messages, parts and tools do not contradict each other, and what one API does not know
 * counts as the words of the enclosing message.
 */
import type { GuardScope, TextFragment } from '../fragment.ts';

/** What is known of an object once it has ended: its members may come in any order. */
export interface ObjectFacts {
  /** Undefined for the whole request. */
  readonly parent: ObjectFacts | undefined;
  /** The key under which the object is, or the key of its list. */
  readonly key: string;
  role: string | undefined;
  type: string | undefined;
  /** Gemini marks reasoning so. */
  isThought: boolean;
  /** A signature covers the text. */
  isSigned: boolean;
}

/** Whose words a string is. `json`: the string contains JSON. */
export interface StringUse extends Pick<TextFragment, 'scope' | 'form'> {
  /** A signature covers the string, so it cannot be changed. */
  readonly isSigned: boolean;
}

const roles: Readonly<Record<string, GuardScope>> = {
  system: 'system',
  developer: 'system',
  user: 'user',
  assistant: 'assistant',
  model: 'assistant',
  tool: 'toolResult',
  function: 'toolResult',
};

/** Members of the whole request that instruct the model or describe its tools. */
const instructions: ReadonlySet<string> = new Set([
  'system',
  'systemInstruction',
  'system_instruction',
  'instructions',
  'tools',
  'functions',
]);

/** Members that name things, or whose strings are encoded bytes: never text. */
const identifiers: ReadonlySet<string> = new Set([
  'id',
  'type',
  'role',
  'model',
  'object',
  'status',
  'call_id',
  'tool_call_id',
  'tool_use_id',
  'item_id',
  'file_id',
  'response_id',
  'previous_response_id',
  'prompt_cache_key',
  'media_type',
  'mime_type',
  'mimeType',
  'signature',
  'thoughtSignature',
  'thought_signature',
  'encrypted_content',
  'encrypted_index',
]);

/** Members that hold base64 in these parts. */
const encoded: Readonly<Record<string, ReadonlySet<string>>> = {
  data: new Set(['source', 'input_audio', 'inlineData', 'inline_data', 'audio']),
  file_data: new Set(['file', 'content', 'input']),
};

const encodedTypes: ReadonlySet<string> = new Set(['base64', 'redacted_thinking']);

/** Parts that a model writes to call a tool. */
const TOOL_CALL = /(^|_)(tool_use|call)$/;
/** Parts that answer a tool. */
const TOOL_RESULT = /(^|_)(tool_result|call_output|approval_response)$/;

/** Members by which an object belongs to a tool, whatever its type. */
const toolMembers: Readonly<Record<string, GuardScope>> = {
  tool_calls: 'toolCall',
  function_call: 'toolCall',
  functionCall: 'toolCall',
  executableCode: 'toolCall',
  functionResponse: 'toolResult',
  function_response: 'toolResult',
  codeExecutionResult: 'toolResult',
};

/** Members of a call that hold what came of the call. */
const results: ReadonlySet<string> = new Set(['output', 'outputs', 'results', 'result', 'error']);

/**
 * Returns the use of a string, or undefined where the string is no text. `object`: the innermost
 * one around the string; `key`: the member that has the string, or the list of strings.
 */
export function stringUse(object: ObjectFacts | undefined, key: string): StringUse | undefined {
  if ((identifiers.has(key) || isEncoded(object, key)) && !isToolData(object)) {
    return undefined;
  }
  let role: GuardScope | undefined;
  let isSigned = false;
  let member = key;
  for (let at = object; at?.parent !== undefined; at = at.parent) {
    isSigned ||= at.isSigned;
    const scope = ownScope(at, member);
    if (scope !== undefined) {
      return { scope, form: scope === 'toolCall' && key === 'arguments' ? 'json' : 'text', isSigned };
    }
    role ??= at.role === undefined ? undefined : roles[at.role];
    member = at.key;
  }
  return { scope: role ?? (instructions.has(member) ? 'system' : 'user'), form: 'text', isSigned };
}

/** Whether an object is in what a tool gets or returns, where members may have any name. */
function isToolData(object: ObjectFacts | undefined): boolean {
  for (let at = object; at?.parent !== undefined; at = at.parent) {
    const { key, parent } = at;
    if (
      (key === 'input' && TOOL_CALL.test(parent.type ?? '')) ||
      (key === 'args' && toolMembers[parent.key] === 'toolCall') ||
      (key === 'response' && toolMembers[parent.key] === 'toolResult')
    ) {
      return true;
    }
  }
  return false;
}

function isEncoded(parent: ObjectFacts | undefined, key: string): boolean {
  const parts = encoded[key];
  const type = parent?.type ?? '';
  return parts !== undefined && (encodedTypes.has(type) || (parts.has(parent?.key ?? '') && type !== 'text'));
}

/** Returns whose words the member of an object is by the object's own kind. */
function ownScope({ key, type = '', isThought }: ObjectFacts, member: string): GuardScope | undefined {
  if (type === 'thinking' || type === 'reasoning' || isThought || REASONING_MEMBERS.has(member)) {
    return 'reasoning';
  }
  if (TOOL_RESULT.test(type)) {
    return 'toolResult';
  }
  if (TOOL_CALL.test(type)) {
    return results.has(member) ? 'toolResult' : 'toolCall';
  }
  return toolMembers[key] ?? toolMembers[member];
}

/** Of servers of OpenAI's API. */
const REASONING_MEMBERS: ReadonlySet<string> = new Set(['reasoning_content', 'reasoning', 'reasoning_details']);
