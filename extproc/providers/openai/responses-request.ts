/**
 * What a request for a response asks for:
 * https://platform.openai.com/docs/api-reference/responses/create
 */
import type { Failure } from '../../errors.ts';
import type { ScannedBody } from '../../json/scanner.ts';
import type { Shape } from '../../json/shape.ts';
import type { Splice } from '../../json/splice.ts';
import type { RequestEdits, RequestFacts, Unbounded } from '../adapter.ts';
import { BodyEdits } from '../edits.ts';
import { audioTokens, fileTokens, OPENAI_IMAGE_TOKENS, UNKNOWN_PART_TOKENS } from '../media.ts';
import { hidesReasoning, NO_EFFORT } from '../reasoning.ts';
import { BodyFields, byteLength, isDataUrl, isRemote, isSet, present, unknownParts } from '../request.ts';

const VALUE: Shape = { value: true };
const TEXT: Shape = { text: true };
const DEEP: Shape = { deepText: true };

const PART_MEMBERS: Readonly<Record<string, Shape>> = {
  type: VALUE,
  text: TEXT,
  refusal: TEXT,
  image_url: VALUE,
  file_id: VALUE,
  file_url: VALUE,
  file_data: VALUE,
  filename: TEXT,
  input_audio: { object: { data: VALUE } },
};

const PARTS: Shape = {
  text: true,
  value: true,
  object: PART_MEMBERS,
  items: { value: true, object: PART_MEMBERS },
};

export const responsesShape: Shape = {
  object: {
    model: VALUE,
    stream: VALUE,
    service_tier: VALUE,
    background: VALUE,
    reasoning: { object: { effort: VALUE } },
    max_output_tokens: VALUE,
    previous_response_id: VALUE,
    conversation: VALUE,
    prompt: VALUE,
    instructions: { text: true, items: { object: { content: PARTS } } },
    input: {
      text: true,
      items: {
        object: {
          type: VALUE,
          id: VALUE,
          role: VALUE,
          content: PARTS,
          output: PARTS,
          name: TEXT,
          namespace: TEXT,
          arguments: TEXT,
          input: TEXT,
          code: TEXT,
          summary: DEEP,
          // Encrypted reasoning replaces as many tokens as the reasoning had, and is longer than
          // the reasoning.
          encrypted_content: TEXT,
          action: DEEP,
          operation: DEEP,
          queries: DEEP,
          results: DEEP,
          outputs: DEEP,
          tools: DEEP,
          error: DEEP,
          reason: TEXT,
          server_label: TEXT,
          result: VALUE,
        },
      },
    },
    tools: { deepText: true, items: { object: { type: VALUE } } },
    tool_choice: DEEP,
    text: { object: { format: DEEP } },
  },
};

/** The least output bound that the API accepts. */
const LEAST_OUTPUT_TOKENS = 16;

const MESSAGE_TOKENS = 8;
const FRAME_TOKENS = 32;
const TOOLS_TOKENS = 128;
const TOOL_TOKENS = 16;
/** Tools that OpenAI defines and the client runs. */
const DEFINED_TOOL_TOKENS = 1_024;

const OWN_TOOLS: ReadonlySet<unknown> = new Set(['function', 'custom', 'namespace']);
const CLIENT_TOOLS: ReadonlySet<unknown> = new Set(['local_shell', 'apply_patch', 'tool_search']);

const KNOWN_PARTS: ReadonlySet<unknown> = new Set([
  'input_text',
  'output_text',
  'text',
  'refusal',
  'summary_text',
  'reasoning_text',
  'input_image',
  'computer_screenshot',
  'input_file',
  'input_audio',
]);

export function readResponsesRequest(body: ScannedBody): RequestFacts | Failure {
  const fields = new BodyFields(body);
  const model = fields.model();
  const stream = fields.flag('stream');
  const serviceTier = fields.text('service_tier');
  const background = fields.flag('background');
  const asked = fields.bound('max_output_tokens', LEAST_OUTPUT_TOKENS);
  if (fields.problem !== undefined) {
    return fields.problem;
  }
  const unbounded = new Set<Unbounded>();
  if (background) {
    unbounded.add('background');
  }
  if (isSet(body.one('previous_response_id')) || isSet(body.one('conversation'))) {
    unbounded.add('stored_conversation');
  }
  if (refersToItems(body)) {
    unbounded.add('stored_conversation');
  }
  if (present(body.one('prompt')) !== undefined) {
    unbounded.add('stored_prompt');
  }
  if (/deep-research/.test(model)) {
    unbounded.add('server_tool');
  }
  const tools = toolTokens(body, unbounded);
  const media = ['input[].content', 'input[].output', 'instructions[].content'].flatMap((at) => [at, `${at}[]`]);
  const mediaTokens = media.reduce((sum, at) => sum + partTokens(body, at, unbounded), 0);
  const reasoningOff = body.one('reasoning.effort')?.value === NO_EFFORT;
  return {
    model,
    stream,
    ...(serviceTier !== undefined && { serviceTier }),
    choices: 1,
    ...(asked === undefined ? {} : { askedOutputTokens: asked }),
    leastOutputTokens: LEAST_OUTPUT_TOKENS,
    hasOutput: true,
    hiddenOutput: hidesReasoning(model, reasoningOff),
    reasoningOff,
    usageAsked: true,
    textBytes: body.textBytes,
    overheadTokens: FRAME_TOKENS + MESSAGE_TOKENS * (body.count('input[]') + body.count('input[].content[]')) + tools,
    mediaTokens: mediaTokens + OPENAI_IMAGE_TOKENS * body.all('input[].result').filter(isSet).length,
    givenTokens: 0,
    unbounded: [...unbounded],
  };
}

/** An item with nothing but an id refers to a stored one, even without the type of a reference. */
function refersToItems(body: ScannedBody): boolean {
  const said = new Set<number | undefined>();
  for (const { element, kind, value } of body.all('input[].type')) {
    if (value === 'item_reference') {
      return true;
    }
    if (kind === 'string') {
      said.add(element);
    }
  }
  for (const { element, kind } of body.all('input[].role')) {
    if (kind === 'string') {
      said.add(element);
    }
  }
  return body.all('input[].id').some(({ element, kind }) => kind === 'string' && !said.has(element));
}

export function editResponsesRequest(body: ScannedBody, edits: RequestEdits): readonly Splice[] {
  const changes = new BodyEdits(body);
  if (edits.model !== undefined) {
    changes.set('model', edits.model);
  }
  if (edits.outputTokens !== undefined) {
    changes.set('max_output_tokens', Math.max(edits.outputTokens, LEAST_OUTPUT_TOKENS));
  }
  return changes.splices();
}

function toolTokens(body: ScannedBody, unbounded: Set<Unbounded>): number {
  const count = body.count('tools[]');
  let tokens = count === 0 ? 0 : TOOLS_TOKENS + TOOL_TOKENS * count;
  for (const { value: type } of body.all('tools[].type')) {
    if (OWN_TOOLS.has(type)) {
      continue;
    }
    if (CLIENT_TOOLS.has(type)) {
      tokens += DEFINED_TOOL_TOKENS;
    } else {
      unbounded.add('server_tool');
    }
  }
  return tokens;
}

function partTokens(body: ScannedBody, at: string, unbounded: Set<Unbounded>): number {
  if (body.count(at) === 0) {
    return 0;
  }
  const unknown = unknownParts(body, at, KNOWN_PARTS);
  let tokens = UNKNOWN_PART_TOKENS * unknown.count;
  if (unknown.remote) {
    unbounded.add('remote_url');
  }
  for (const url of body.all(`${at}.image_url`).filter(isSet)) {
    tokens += OPENAI_IMAGE_TOKENS;
    if (!isDataUrl(body, url)) {
      unbounded.add('remote_url');
    }
  }
  if (body.all(`${at}.file_id`).some(isSet)) {
    unbounded.add('file_reference');
  }
  if (body.all(`${at}.file_url`).some(isSet)) {
    unbounded.add('remote_url');
  }
  for (const data of body.all(`${at}.file_data`)) {
    tokens += fileTokens(byteLength(data));
    if (isRemote(body, data)) {
      unbounded.add('remote_url');
    }
  }
  for (const data of body.all(`${at}.input_audio.data`)) {
    tokens += audioTokens(byteLength(data));
    if (isRemote(body, data)) {
      unbounded.add('remote_url');
    }
  }
  return tokens;
}
