/**
 * What a chat completions request asks for:
 * https://platform.openai.com/docs/api-reference/chat/create
 */
import type { Failure } from '../../errors.ts';
import type { JsonMatch, ScannedBody } from '../../json/scanner.ts';
import type { Shape } from '../../json/shape.ts';
import type { Splice } from '../../json/splice.ts';
import type { RequestEdits, RequestFacts, Unbounded } from '../adapter.ts';
import { BodyEdits } from '../edits.ts';
import {
  audioTokens,
  fileTokens,
  OPENAI_IMAGE_TOKENS,
  OPENAI_LOW_DETAIL_IMAGE_TOKENS,
  UNKNOWN_PART_TOKENS,
} from '../media.ts';
import { hidesReasoning, NO_EFFORT } from '../reasoning.ts';
import { BodyFields, byteLength, isDataUrl, isRemote, isSet, MAX_CHOICES, present, unknownParts } from '../request.ts';
import { type BackendApi, type ServerDialect, serverDialect } from './server-dialects.ts';

const VALUE: Shape = { value: true };
const TEXT: Shape = { text: true };
const DEEP: Shape = { deepText: true };

const PART: Shape = {
  object: {
    type: VALUE,
    text: TEXT,
    refusal: TEXT,
    thinking: DEEP,
    image_url: { value: true, object: { url: VALUE, detail: VALUE } },
    video_url: { value: true, object: { url: VALUE } },
    document_url: { value: true, object: { url: VALUE } },
    audio_url: { value: true, object: { url: VALUE } },
    input_audio: { value: true, object: { data: VALUE } },
    file: { value: true, object: { file_id: VALUE, file_data: VALUE, file_url: VALUE, filename: TEXT } },
  },
};

const CONTENT: Shape = { text: true, items: { ...PART, value: true } };

export const chatShape: Shape = {
  object: {
    model: VALUE,
    stream: VALUE,
    service_tier: VALUE,
    n: VALUE,
    reasoning_effort: VALUE,
    max_tokens: VALUE,
    max_completion_tokens: VALUE,
    stream_options: { value: true, object: { include_usage: VALUE } },
    modalities: { items: VALUE },
    prediction: { value: true, object: { content: CONTENT } },
    web_search_options: VALUE,
    search_parameters: VALUE,
    messages: {
      items: {
        object: {
          role: {},
          name: TEXT,
          content: CONTENT,
          refusal: TEXT,
          reasoning_content: TEXT,
          reasoning: TEXT,
          tool_calls: DEEP,
          function_call: DEEP,
          tool_call_id: TEXT,
          audio: { object: { id: VALUE } },
        },
      },
    },
    tools: { deepText: true, items: { object: { type: VALUE } } },
    functions: { deepText: true, items: {} },
    tool_choice: DEEP,
    response_format: DEEP,
    guided_json: DEEP,
    guided_grammar: TEXT,
    tool_prompt: TEXT,
    chat_template: TEXT,
    chat_template_kwargs: DEEP,
    documents: DEEP,
  },
};

/**
 * Role and separators of a message; the start of the response and the frame of a system prompt; the
 * frame of a tool's definition.
 */
const MESSAGE_TOKENS = 8;
const FRAME_TOKENS = 32;
const TOOLS_TOKENS = 64;
const TOOL_TOKENS = 16;

const KNOWN_PARTS: ReadonlySet<unknown> = new Set([
  'text',
  'refusal',
  'thinking',
  'image_url',
  'video_url',
  'document_url',
  'audio_url',
  'input_audio',
  'file',
]);

export function readChatRequest(body: ScannedBody): RequestFacts | Failure {
  const fields = new BodyFields(body);
  const model = fields.model();
  const stream = fields.flag('stream');
  const serviceTier = fields.text('service_tier');
  const choices = fields.count('n', 1, MAX_CHOICES) ?? 1;
  const older = fields.bound('max_tokens', 1);
  const newer = fields.bound('max_completion_tokens', 1);
  const usageAsked = fields.flag('stream_options.include_usage');
  if (fields.problem !== undefined) {
    return fields.problem;
  }
  const asked = older === undefined ? newer : Math.min(older, newer ?? older);
  const unbounded = new Set<Unbounded>();
  const mediaTokens =
    partsTokens(body, 'messages[].content[]', unbounded) + partsTokens(body, 'prediction.content[]', unbounded);
  if (body.all('messages[].audio.id').length > 0) {
    unbounded.add('file_reference');
  }
  if (usesServerTools(body, model)) {
    unbounded.add('server_tool');
  }
  const reasoningOff = body.one('reasoning_effort')?.value === NO_EFFORT;
  return {
    model,
    stream,
    ...(serviceTier !== undefined && { serviceTier }),
    choices,
    ...(asked === undefined ? {} : { askedOutputTokens: asked }),
    leastOutputTokens: 1,
    hasOutput: true,
    hiddenOutput:
      hidesReasoning(model, reasoningOff) || makesSound(body) || present(body.one('prediction')) !== undefined,
    reasoningOff,
    usageAsked,
    textBytes: body.textBytes,
    overheadTokens: overhead(body),
    mediaTokens,
    givenTokens: 0,
    unbounded: [...unbounded],
  };
}

export function editChatRequest(body: ScannedBody, edits: RequestEdits, backend: BackendApi): readonly Splice[] {
  const { boundName, refusesIncludeUsage } = serverDialect(backend);
  const changes = new BodyEdits(body);
  if (edits.model !== undefined) {
    changes.set('model', edits.model);
  }
  editBound(changes, body, edits.outputTokens, boundName);
  if (edits.askUsage === true && !refusesIncludeUsage) {
    changes.setNested('stream_options', { include_usage: true });
  } else if (refusesIncludeUsage && present(body.one('stream_options.include_usage')) !== undefined) {
    changes.set('stream_options', {});
  }
  return changes.splices();
}

/** A bound under a name that the server refuses or ignores gets the other name. */
function editBound(
  changes: BodyEdits,
  body: ScannedBody,
  outputTokens: number | undefined,
  boundName: ServerDialect['boundName'],
): void {
  const [older, newer] = [present(body.one('max_tokens')), present(body.one('max_completion_tokens'))];
  if (boundName === 'max_tokens' && newer !== undefined) {
    const asked = Math.min(Number(newer.value), Number((older ?? newer).value));
    changes.rename('max_completion_tokens', boundName, outputTokens ?? asked);
    if (older !== undefined) {
      changes.set(boundName, outputTokens ?? asked);
    }
  } else if (outputTokens !== undefined) {
    changes.set(older === undefined ? boundName : 'max_tokens', outputTokens);
    if (older !== undefined && newer !== undefined) {
      changes.set('max_completion_tokens', outputTokens);
    }
  }
}

function overhead(body: ScannedBody): number {
  const tools = body.count('tools[]') + body.count('functions[]');
  return (
    FRAME_TOKENS +
    MESSAGE_TOKENS * body.count('messages[]') +
    MESSAGE_TOKENS * body.count('messages[].content[]') +
    (tools === 0 ? 0 : TOOLS_TOKENS + TOOL_TOKENS * tools)
  );
}

/** Audio is billed as output tokens and is not streamed as text. */
function makesSound(body: ScannedBody): boolean {
  return body.all('modalities[]').some((modality) => modality.value === 'audio');
}

function usesServerTools(body: ScannedBody, model: string): boolean {
  return (
    isSet(body.one('search_parameters')) ||
    body.one('web_search_options')?.kind === 'object' ||
    body.all('tools[].type').some((type) => type.value !== 'function' && type.value !== 'custom') ||
    /search-(preview|api)|deep-research/.test(model)
  );
}

function partsTokens(body: ScannedBody, at: string, unbounded: Set<Unbounded>): number {
  if (body.count(at) === 0) {
    return 0;
  }
  const unknown = unknownParts(body, at, KNOWN_PARTS);
  let tokens = UNKNOWN_PART_TOKENS * unknown.count;
  if (unknown.remote) {
    unbounded.add('remote_url');
  }
  const images = urlsOf(body, `${at}.image_url`);
  const low = body.all(`${at}.image_url.detail`).filter((detail) => detail.value === 'low').length;
  for (const url of images) {
    tokens += OPENAI_IMAGE_TOKENS;
    if (!isDataUrl(body, url)) {
      unbounded.add('remote_url');
    }
  }
  tokens -= Math.min(low, images.length) * (OPENAI_IMAGE_TOKENS - OPENAI_LOW_DETAIL_IMAGE_TOKENS);
  for (const name of ['video_url', 'document_url', 'audio_url']) {
    for (const url of urlsOf(body, `${at}.${name}`)) {
      tokens += name === 'audio_url' ? audioTokens(byteLength(url)) : fileTokens(byteLength(url));
      if (!isDataUrl(body, url)) {
        unbounded.add('remote_url');
      }
    }
  }
  for (const data of urlsOf(body, `${at}.input_audio`, 'data')) {
    tokens += audioTokens(byteLength(data));
    if (isRemote(body, data)) {
      unbounded.add('remote_url');
    }
  }
  for (const data of urlsOf(body, `${at}.file`, 'file_data')) {
    tokens += fileTokens(byteLength(data));
    if (isRemote(body, data)) {
      unbounded.add('remote_url');
    }
  }
  if (body.all(`${at}.file.file_url`).some(isSet)) {
    unbounded.add('remote_url');
  }
  if (body.all(`${at}.file.file_id`).some(isSet)) {
    unbounded.add('file_reference');
  }
  return tokens;
}

/** Values of an object's member. Mistral accepts a plain string where OpenAI has an object. */
function urlsOf(body: ScannedBody, at: string, member = 'url'): readonly JsonMatch[] {
  return [...body.all(`${at}.${member}`), ...body.all(at).filter((value) => value.kind === 'string')];
}
