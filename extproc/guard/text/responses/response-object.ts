/**
 * Decides whose words a string of a response is, and which text it continues. One table serves all
 * client APIs, because their names do not contradict each other; what one does not know counts as
 * words of the model.
 */
import type { GuardScope, TextFragment } from '../fragment.ts';

/** An object of a response. What is known of it is complete once the object has ended. */
export interface ResponseObject {
  readonly parent: ResponseObject | undefined;
  /** The key under which the object is, or the key of its list. */
  readonly key: string;
  /** The place in its list; -1: the object is in none. */
  readonly place: number;
  type: string;
  /** Its `index`, or -1. */
  index: number;
  /** `output_index` and the like: which item of a response an event is about. */
  indexes: string;
  /** Gemini marks reasoning so. */
  isThought: boolean;
  isSigned: boolean;
  /** Gemini signs what it thought before this part. */
  hasThoughtSignature: boolean;
  /** Whose reasoning it is, for servers that pass on that of several providers. */
  format: string;
  /** The object and all around it are known to the API, so that their names are, too. */
  readonly isKnown: boolean;
  /** The reason to finish is present: nothing follows for a choice. */
  isFinished: boolean;
}

/** Whose words a string is, and what it continues. */
export interface ResponseTextUse extends Omit<TextFragment, 'channel' | 'start' | 'end'> {
  /** Names the text that the fragment continues, within the stream. */
  readonly channel: string;
  /** The choice, for the end of its channels. */
  readonly choice: string;
  readonly isSigned: boolean;
}

/** Objects of the client APIs. Others, such as arguments of tools, have members of any name. */
const knownObjects: ReadonlySet<string> = new Set([
  ...['', 'choices', 'delta', 'message', 'tool_calls', 'function', 'function_call', 'custom', 'content', 'error'],
  ...['audio', 'images', 'image_url', 'annotations', 'annotation', 'url_citation', 'reasoning_details', 'usage'],
  ...['prompt_tokens_details', 'completion_tokens_details', 'input_tokens_details', 'output_tokens_details'],
  ...['extra_content', 'google', 'tools', 'tool_choice', 'conversation', 'reasoning', 'text', 'format', 'token'],
  ...['content_block', 'source', 'citation', 'citations', 'container', 'server_tool_use', 'cache_creation'],
  ...['response', 'item', 'output', 'part', 'summary', 'incomplete_details', 'action', 'results', 'data'],
  ...['candidates', 'parts', 'functionCall', 'functionResponse', 'executableCode', 'codeExecutionResult'],
  ...['inlineData', 'inline_data', 'fileData', 'usageMetadata', 'promptTokensDetails', 'candidatesTokensDetails'],
  ...['cacheTokensDetails', 'toolUsePromptTokensDetails', 'safetyRatings', 'promptFeedback', 'citationMetadata'],
  ...['citationSources', 'details', 'tokens', 'prefill', 'best_of_sequences', 'top_tokens', 'logprobs', 'categories'],
  ...['category_scores', 'category_applied_input_types', 'meta', 'billed_units', 'segments', 'words'],
]);

export function isKnownObject(parent: ResponseObject | undefined, key: string): boolean {
  return parent === undefined || (parent.isKnown && knownObjects.has(key));
}

/** Members of known objects that name things, or whose strings are encoded bytes: never text. */
const identifiers: ReadonlySet<string> = new Set([
  ...['id', 'type', 'role', 'object', 'model', 'status', 'name', 'format', 'event', 'event_id', 'kind', 'channel'],
  ...['phase', 'provider', 'service_tier', 'system_fingerprint', 'mime_type', 'media_type', 'mimeType', 'encoding'],
  ...['finish_reason', 'native_finish_reason', 'stop_reason', 'finishReason', 'matched_stop', 'modelVersion'],
  ...['responseId', 'response_id', 'call_id', 'item_id', 'tool_call_id', 'tool_use_id', 'createTime', 'trafficType'],
  ...['previous_response_id', 'prompt_cache_key', 'safety_identifier', 'container_id', 'file_id', 'obfuscation'],
  ...['signature', 'thoughtSignature', 'thought_signature', 'encrypted_content', 'encrypted_index', 'encrypted_stdout'],
  ...['b64_json', 'partial_image_b64', 'embedding', 'embeddings', 'severity', 'blockReason', 'modality', 'category'],
  ...['probability', 'safe'],
]);

/** Objects that have an `id`. */
const objectsWithId: ReadonlySet<string> = new Set([
  ...['', 'message', 'tool_calls', 'audio', 'reasoning_details', 'content', 'content_block', 'container', 'response'],
  ...['item', 'output', 'conversation', 'functionCall', 'functionResponse', 'tools'],
]);

/** Objects whose `name` is that of a tool. */
const objectsWithName: ReadonlySet<string> = new Set([
  ...['function', 'function_call', 'custom', 'functionCall', 'functionResponse', 'tools', 'tool_choice'],
]);

/** Parts whose `data` is encoded bytes. */
const encodedParts: ReadonlySet<string> = new Set(['audio', 'inlineData', 'inline_data', 'source', 'input_audio']);

/** Kinds of reasoning whose `data` is encrypted. */
const encodedTypes: ReadonlySet<string> = new Set(['redacted_thinking', 'reasoning.encrypted']);

const reasoningMembers: ReadonlySet<string> = new Set([
  ...['reasoning', 'reasoning_content', 'reasoning_details', 'reasoning_text', 'thinking', 'summary'],
]);

/** Members by which an object belongs to a tool. */
const toolMembers: ReadonlyMap<string, GuardScope> = new Map([
  ['tool_calls', 'toolCall'],
  ['function_call', 'toolCall'],
  ['functionCall', 'toolCall'],
  ['executableCode', 'toolCall'],
  ['functionResponse', 'toolResult'],
  ['codeExecutionResult', 'toolResult'],
]);

const TOOL_CALL = /(^|_)(tool_use|call)$/;
const TOOL_RESULT = /(^|_)(tool_result|call_output)$/;

/** Events of the Responses API that add to what a tool gets. */
const TOOL_EVENT = /\.(\w+_call_arguments|custom_tool_call_input|\w+_call_code)\.(delta|done)$/;
const REASONING_EVENT = /^response\.reasoning/;

/** Lists whose texts a client joins. */
const joinedLists: ReadonlySet<string> = new Set(['content', 'parts', 'thinking', 'reasoning_details', 'tokens']);

/** Members of an event that add to a text of the stream. */
const deltaMembers: ReadonlySet<string> = new Set(['delta', 'content_block', 'token']);

/**
 * Returns the use of the key of a member, or of a number: nothing continues it. `object` has the
 * member.
 */
export function loneUse(object: ResponseObject, key: string, streamed: boolean): ResponseTextUse {
  const root = rootOf(object);
  const scope = scopeOf(object, key, root);
  const repeats = streamed && root.type.startsWith('response.') && scope !== 'toolResult';
  const choice = choiceOf(object);
  return { scope, form: 'text', choice, isSigned: object.isSigned, whole: true, repeats, channel: '' };
}

/**
 * Returns the use of a string, or undefined where the string is no text. `object` has the member
 * `key`, or the list of strings under this key.
 */
export function textUse(object: ResponseObject, key: string, streamed: boolean): ResponseTextUse | undefined {
  const isToolData = isInToolData(object, key);
  if (!isToolData && isIdentifier(object, key)) {
    return undefined;
  }
  const root = rootOf(object);
  const scope = scopeOf(object, key, root);
  const isResponseEvent = streamed && root.type.startsWith('response.');
  const base = {
    scope,
    form: isJson(key, root, scope) ? ('json' as const) : ('text' as const),
    choice: choiceOf(object),
    isSigned: isSigned(object, key),
  };
  if (isResponseEvent) {
    return { ...base, ...responseEventUse(object, key, root, scope) };
  }
  const repeats = streamed && key === 'generated_text';
  const whole = repeats || isToolData || !(streamed ? isDelta(object, key) : isJoined(object));
  return { ...base, repeats, whole, channel: whole ? '' : channelOf(object, key, root) };
}

/** Deltas continue a text; all other events repeat what was sent, except for results of tools. */
function responseEventUse(
  object: ResponseObject,
  key: string,
  root: ResponseObject,
  scope: GuardScope,
): Pick<ResponseTextUse, 'channel' | 'whole' | 'repeats'> {
  if (object === root && key === 'delta') {
    const text = root.type === 'response.output_text.delta';
    return { channel: text ? 'text' : `${root.type}${root.indexes}`, whole: false, repeats: false };
  }
  return { channel: '', whole: true, repeats: scope !== 'toolResult' };
}

/** Returns the channel that the end of a part of the Responses API ends; undefined: none. */
export function endedChannel({ type, indexes }: ResponseObject): string | undefined {
  if (!type.startsWith('response.') || !type.endsWith('.done')) {
    return undefined;
  }
  const delta = `${type.slice(0, -'done'.length)}delta`;
  return delta === 'response.output_text.delta' ? 'text' : `${delta}${indexes}`;
}

function channelOf(object: ResponseObject, key: string, root: ResponseObject): string {
  // Blocks of a message are one text where only citations divide them, but each has own arguments.
  let channel = key === 'partial_json' ? `${key}:${root.index}` : key;
  for (let at: ResponseObject = object; at.parent !== undefined; at = at.parent) {
    // The same words are in a block that begins and in its deltas.
    const name = deltaMembers.has(at.key) ? '' : at.key;
    const place = at.place < 0 || joinedLists.has(at.key) ? '' : at.index < 0 ? at.place : at.index;
    channel = `${name}${place}${at.isThought ? '?' : ''}/${channel}`;
  }
  return channel;
}

/** Whether a string in an event of a stream continues a text. */
function isDelta(object: ResponseObject, key: string): boolean {
  for (let at: ResponseObject | undefined = object; at?.parent !== undefined; at = at.parent) {
    if (deltaMembers.has(at.key) || at.key === 'parts') {
      return true;
    }
    if (at.key === 'choices') {
      return at === object && key === 'text';
    }
  }
  return false;
}

/** Whether a client joins the text of this object with others of its list. */
function isJoined(object: ResponseObject): boolean {
  for (let at: ResponseObject | undefined = object; at?.parent !== undefined; at = at.parent) {
    if (at.place >= 0 && joinedLists.has(at.key)) {
      return true;
    }
  }
  return false;
}

/** Whether an object is in what a tool gets, where members may have any name. */
function isInToolData(object: ResponseObject, key: string): boolean {
  if (key === 'arguments') {
    return false;
  }
  for (let at: ResponseObject | undefined = object; at?.parent !== undefined; at = at.parent) {
    const { parent } = at;
    if (
      (at.key === 'args' && toolMembers.get(parent.key) === 'toolCall') ||
      (at.key === 'input' && TOOL_CALL.test(parent.type))
    ) {
      return true;
    }
  }
  return false;
}

function isIdentifier(object: ResponseObject, key: string): boolean {
  const { key: parent, type, isKnown } = object;
  if (!isKnown) {
    return false;
  }
  if (key === 'id') {
    return objectsWithId.has(parent);
  }
  if (key === 'name') {
    return objectsWithName.has(parent) || TOOL_CALL.test(type) || TOOL_EVENT.test(type);
  }
  return identifiers.has(key) || (key === 'data' && (encodedParts.has(parent) || encodedTypes.has(type)));
}

function scopeOf(object: ResponseObject, key: string, root: ResponseObject): GuardScope {
  if (REASONING_EVENT.test(root.type) || reasoningMembers.has(key)) {
    return 'reasoning';
  }
  if (TOOL_EVENT.test(root.type) || key === 'arguments' || key === 'partial_json') {
    return 'toolCall';
  }
  for (let at: ResponseObject | undefined = object; at !== undefined; at = at.parent) {
    if (at.isThought || at.type === 'reasoning' || reasoningMembers.has(at.key)) {
      return 'reasoning';
    }
    if (TOOL_RESULT.test(at.type)) {
      return 'toolResult';
    }
    if (TOOL_CALL.test(at.type)) {
      return key === 'output' || key === 'results' ? 'toolResult' : 'toolCall';
    }
    const scope = toolMembers.get(at.key);
    if (scope !== undefined) {
      return scope;
    }
  }
  return 'assistant';
}

function isJson(key: string, root: ResponseObject, scope: GuardScope): boolean {
  return (
    scope === 'toolCall' &&
    (key === 'arguments' || key === 'partial_json' || (key === 'delta' && root.type.endsWith('_call_arguments.delta')))
  );
}

/** Anthropic signs its reasoning; in a stream, the signature comes after the text. */
function isSigned({ isSigned: signed, isThought, hasThoughtSignature, type, format }: ResponseObject, key: string) {
  return (
    signed ||
    (isThought && hasThoughtSignature) ||
    (key === 'thinking' && (type === 'thinking' || type === 'thinking_delta')) ||
    (type === 'reasoning.text' && format.startsWith('anthropic'))
  );
}

function choiceOf(object: ResponseObject): string {
  for (let at: ResponseObject | undefined = object; at !== undefined; at = at.parent) {
    if (at.place >= 0 && (at.key === 'choices' || at.key === 'candidates')) {
      return String(at.index < 0 ? at.place : at.index);
    }
  }
  return '';
}

function rootOf(object: ResponseObject): ResponseObject {
  let at = object;
  while (at.parent !== undefined) {
    at = at.parent;
  }
  return at;
}
