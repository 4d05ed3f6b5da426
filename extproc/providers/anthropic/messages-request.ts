/** What a messages request asks for: https://platform.claude.com/docs/en/api/messages */
import type { Failure } from '../../errors.ts';
import type { ScannedBody } from '../../json/scanner.ts';
import type { Shape } from '../../json/shape.ts';
import type { Splice } from '../../json/splice.ts';
import type { RequestEdits, RequestFacts, Unbounded } from '../adapter.ts';
import { BodyEdits } from '../edits.ts';
import { ANTHROPIC_IMAGE_TOKENS, fileTokens, UNKNOWN_PART_TOKENS } from '../media.ts';
import type { BackendApi } from '../openai/server-dialects.ts';
import { thinksByDefault } from '../reasoning.ts';
import { BodyFields, byteLength, invalid, isSet, present, unknownParts } from '../request.ts';
import { isOnVertex, VERTEX_VERSION } from './vertex.ts';

const VALUE: Shape = { value: true };
const TEXT: Shape = { text: true };
const DEEP: Shape = { deepText: true };

/** `data` is text or base64, as `type` says; `content` is a string, or text and images. */
const SOURCE: Shape = {
  object: {
    type: VALUE,
    media_type: VALUE,
    data: VALUE,
    content: { text: true, items: { object: { type: VALUE, text: TEXT } } },
  },
};

/** All block types in one: their members do not conflict. */
const BLOCK_MEMBERS: Readonly<Record<string, Shape>> = {
  type: VALUE,
  text: TEXT,
  source: SOURCE,
  title: TEXT,
  context: TEXT,
  citations: DEEP,
  thinking: TEXT,
  // The data of redacted thinking replaces as many tokens as the thinking had, and is longer than
  // the thinking.
  data: TEXT,
  name: TEXT,
  input: DEEP,
  url: TEXT,
  file_id: VALUE,
};

const BLOCK: Shape = {
  object: {
    ...BLOCK_MEMBERS,
    // Results of tools: text, or blocks again. Results of server tools are objects of many kinds.
    content: {
      text: true,
      object: resultMembers(),
      items: { value: true, object: { ...BLOCK_MEMBERS, ...resultMembers() } },
    },
  },
};

function resultMembers(): Readonly<Record<string, Shape>> {
  return {
    content: DEEP,
    encrypted_content: TEXT,
    page_age: TEXT,
    stdout: TEXT,
    stderr: TEXT,
    encrypted_stdout: TEXT,
    lines: DEEP,
    tool_references: DEEP,
  };
}

export const messagesShape: Shape = {
  object: {
    model: VALUE,
    anthropic_version: VALUE,
    max_tokens: VALUE,
    stream: VALUE,
    service_tier: VALUE,
    thinking: { object: { type: VALUE, budget_tokens: VALUE } },
    system: { text: true, items: { object: { text: TEXT } } },
    messages: { items: { object: { role: {}, content: { text: true, items: { ...BLOCK, value: true } } } } },
    tools: { deepText: true, items: { object: { type: VALUE } } },
    tool_choice: DEEP,
    output_config: { object: { format: DEEP } },
    output_format: DEEP,
    mcp_servers: VALUE,
    container: VALUE,
    thread: VALUE,
    fallbacks: VALUE,
    compaction: VALUE,
    context_management: { object: { edits: { items: { object: { type: VALUE } } } } },
  },
};

/** Measured on recordings: 8 tokens around a message of one block. */
const FRAME_TOKENS = 32;
const BLOCK_TOKENS = 8;
/**
 * "Tool use system prompt" of the pricing page: up to 935 tokens, and some 300 for the system
 * prompt of structured output.
 */
const TOOLS_TOKENS = 1_024;
const TOOL_TOKENS = 16;
const FORMAT_TOKENS = 512;
/**
 * Tools that Anthropic defines and the client runs. The text editor takes 700 tokens, the computer
 * tool with its system prompt 1,234.
 */
const DEFINED_TOOL_TOKENS = 1_536;
const TOOLSET_TOKENS = 8_192;

/** Documents given as plain text: fewer bytes per token than English. */
const TEXT_BYTES_PER_TOKEN = 3;

const CLIENT_TOOL = /^(bash|text_editor|computer|memory)_\d{8}$/;
const CLIENT_TOOLSET = /^(browser|computer)_toolset_\d{8}$/;

const KNOWN_BLOCKS: ReadonlySet<unknown> = new Set([
  'text',
  'image',
  'document',
  'search_result',
  'thinking',
  'redacted_thinking',
  'tool_use',
  'tool_result',
  'tool_reference',
  'server_tool_use',
  'web_search_tool_result',
  'web_search_result',
  'web_fetch_tool_result',
  'code_execution_tool_result',
  'bash_code_execution_tool_result',
  'text_editor_code_execution_tool_result',
  'tool_search_tool_result',
  'mcp_tool_use',
  'mcp_tool_result',
  'container_upload',
  'compaction',
]);

/** Members that make Anthropic run a model or tools again. */
const SERVER_SIDE = ['mcp_servers', 'container', 'fallbacks', 'compaction'] as const;

/** Edits that only remove a part of the conversation. */
const CLEARING_EDIT = /^clear_/;

export function readMessagesRequest(body: ScannedBody): RequestFacts | Failure {
  const fields = new BodyFields(body);
  const model = fields.model();
  const stream = fields.flag('stream');
  const serviceTier = fields.text('service_tier');
  const asked = fields.bound('max_tokens', 1);
  const budget = fields.bound('thinking.budget_tokens', 0);
  if (fields.problem !== undefined) {
    return fields.problem;
  }
  if (present(body.one('max_tokens')) === undefined) {
    return invalid('max_tokens', 'is missing; say how many tokens the response may have');
  }
  return {
    ...inputFacts(body, model),
    stream,
    ...(serviceTier !== undefined && { serviceTier }),
    ...(asked === undefined ? {} : { askedOutputTokens: asked }),
    leastOutputTokens: leastOutput(body, asked, budget),
    hasOutput: true,
    hiddenOutput: thinks(body, model),
    reasoningOff: thinkingType(body) === 'disabled',
  };
}

/** Everything except the output bounds: `count_tokens` takes the same body without them. */
export function inputFacts(body: ScannedBody, model: string): RequestFacts {
  const unbounded = new Set<Unbounded>();
  const mediaTokens =
    blockTokens(body, 'messages[].content[]', unbounded) +
    blockTokens(body, 'messages[].content[].content[]', unbounded);
  const tools = toolTokens(body, unbounded);
  if (SERVER_SIDE.some((name) => isSet(body.one(name))) || compacts(body)) {
    unbounded.add('server_tool');
  }
  if (isSet(body.one('thread'))) {
    unbounded.add('stored_conversation');
  }
  const formats = body.count('output_config.format') + body.count('output_format');
  return {
    model,
    stream: false,
    choices: 1,
    leastOutputTokens: 0,
    hasOutput: false,
    hiddenOutput: false,
    usageAsked: true,
    textBytes: body.textBytes,
    overheadTokens:
      FRAME_TOKENS +
      BLOCK_TOKENS * (body.count('messages[]') + body.count('messages[].content[]') + body.count('system[]')) +
      tools +
      (formats === 0 ? 0 : FORMAT_TOKENS),
    mediaTokens,
    givenTokens: 0,
    unbounded: [...unbounded],
  };
}

export function editMessagesRequest(
  body: ScannedBody,
  { model, outputTokens }: RequestEdits,
  backend: BackendApi,
): readonly Splice[] {
  const changes = new BodyEdits(body);
  if (isOnVertex(backend)) {
    // A client's own version stays a second time, with the same value.
    if (body.one(VERSION_MEMBER) !== undefined) {
      changes.set(VERSION_MEMBER, VERTEX_VERSION);
    }
    changes.rename('model', VERSION_MEMBER, VERTEX_VERSION);
  } else if (model !== undefined) {
    changes.set('model', model);
  }
  if (outputTokens !== undefined) {
    changes.set('max_tokens', outputTokens);
  }
  return changes.splices();
}

export function editCountRequest(body: ScannedBody, { model }: RequestEdits, backend: BackendApi): readonly Splice[] {
  const changes = new BodyEdits(body);
  if (isOnVertex(backend)) {
    changes.set(VERSION_MEMBER, VERTEX_VERSION);
  }
  if (model !== undefined) {
    changes.set('model', model);
  }
  return changes.splices();
}

const VERSION_MEMBER = 'anthropic_version';

/** Compaction lets the model write a summary first, which is billed beside the response. */
function compacts(body: ScannedBody): boolean {
  return body.all('context_management.edits[].type').some(({ value }) => !CLEARING_EDIT.test(String(value)));
}

/**
 * `max_tokens` must exceed the thinking budget. With interleaved thinking (a beta header) it may be
 * less; then the client's own number is the least that is surely accepted.
 */
function leastOutput(body: ScannedBody, asked: number | undefined, budget: number | undefined): number {
  if (asked === undefined || budget === undefined || body.one('thinking.type')?.value !== 'enabled') {
    return 1;
  }
  return Math.min(asked, budget + 1);
}

/** Thinking is billed in full and streamed as a summary, or not at all. */
function thinks(body: ScannedBody, model: string): boolean {
  const type = thinkingType(body);
  return type === undefined ? thinksByDefault(model) : type !== 'disabled';
}

function thinkingType(body: ScannedBody): unknown {
  return present(body.one('thinking.type'))?.value;
}

function toolTokens(body: ScannedBody, unbounded: Set<Unbounded>): number {
  const count = body.count('tools[]');
  if (count === 0) {
    return 0;
  }
  let tokens = TOOLS_TOKENS + TOOL_TOKENS * count;
  for (const { value: type } of body.all('tools[].type')) {
    if (type === undefined || type === 'custom') {
      continue;
    }
    if (typeof type !== 'string') {
      unbounded.add('server_tool');
    } else if (CLIENT_TOOL.test(type)) {
      tokens += DEFINED_TOOL_TOKENS;
    } else if (CLIENT_TOOLSET.test(type)) {
      tokens += TOOLSET_TOKENS;
    } else {
      unbounded.add('server_tool');
    }
  }
  return tokens;
}

function blockTokens(body: ScannedBody, at: string, unbounded: Set<Unbounded>): number {
  const unknown = unknownParts(body, at, KNOWN_BLOCKS);
  let tokens = UNKNOWN_PART_TOKENS * unknown.count;
  if (unknown.remote) {
    unbounded.add('remote_url');
  }
  for (const { value: type } of body.all(`${at}.type`)) {
    if (type === 'image') {
      tokens += ANTHROPIC_IMAGE_TOKENS;
    }
    if (type === 'container_upload') {
      unbounded.add('file_reference');
    }
  }
  tokens +=
    ANTHROPIC_IMAGE_TOKENS * body.all(`${at}.source.content[].type`).filter(({ value }) => value === 'image').length;
  for (const { value: type } of body.all(`${at}.source.type`)) {
    if (type === 'url') {
      unbounded.add('remote_url');
    } else if (type === 'file') {
      unbounded.add('file_reference');
    }
  }
  return tokens + documentTokens(body, at);
}

/** Counts images as such, plain text as text, and everything else like a PDF. */
function documentTokens(body: ScannedBody, at: string): number {
  const data = body.all(`${at}.source.data`);
  const mediaTypes = body.all(`${at}.source.media_type`);
  let tokens = 0;
  for (const [place, value] of data.entries()) {
    // The API requires a media type for all data, so they come in pairs.
    const mediaType = mediaTypes.length === data.length ? String(mediaTypes[place]?.value) : '';
    if (mediaType.startsWith('text/')) {
      tokens += Math.ceil(byteLength(value) / TEXT_BYTES_PER_TOKEN);
    } else if (!mediaType.startsWith('image/')) {
      tokens += fileTokens(byteLength(value));
    }
  }
  return tokens;
}
