/** What a request of generateContent asks for: https://ai.google.dev/api/generate-content */
import { type Failure, failure } from '../../errors.ts';
import type { ScannedBody } from '../../json/scanner.ts';
import type { Shape } from '../../json/shape.ts';
import type { Splice } from '../../json/splice.ts';
import type { RequestAddress, RequestEdits, RequestFacts, Unbounded } from '../adapter.ts';
import { BodyEdits } from '../edits.ts';
import { fileTokens } from '../media.ts';
import { BodyFields, byteLength, invalid, isSet, MAX_CHOICES, MAX_MODEL_BYTES } from '../request.ts';
import { hidesContent } from './models.ts';
import { modelOfPath } from './paths.ts';
import { allSpelled, bothSpellings, countSpelled, spelled, spelledTwice } from './spelling.ts';
import { plainTier } from './usage.ts';

const VALUE: Shape = { value: true };
const TEXT: Shape = { text: true };
const DEEP: Shape = { deepText: true };

const BLOB: Shape = { object: { mimeType: VALUE, data: VALUE } };
const FILE: Shape = { object: { mimeType: VALUE, fileUri: VALUE } };
const MEDIA: Shape = { object: { inlineData: BLOB, fileData: FILE } };

const PART: Shape = {
  object: {
    text: TEXT,
    inlineData: BLOB,
    fileData: FILE,
    functionCall: { object: { name: TEXT, args: DEEP } },
    functionResponse: { object: { name: TEXT, response: DEEP, parts: { items: MEDIA } } },
    executableCode: { object: { code: TEXT } },
    codeExecutionResult: { object: { output: TEXT } },
    // Calls of the provider's own tools and their results, which a client sends back.
    toolCall: DEEP,
    toolResponse: DEEP,
  },
};

export const CONTENT: Shape = { object: { parts: { ...PART, items: PART } } };

/** Tools that Google runs; others are found by what they lack. */
const SERVER_TOOLS = [
  ...['googleSearch', 'googleSearchRetrieval', 'codeExecution', 'urlContext', 'googleMaps', 'fileSearch'],
  ...['enterpriseWebSearch', 'mcpServers', 'retrieval'],
];

const TOOL: Shape = {
  object: Object.fromEntries(['functionDeclarations', ...SERVER_TOOLS].map((name): [string, Shape] => [name, {}])),
};

export const contentShape: Shape = bothSpellings({
  object: {
    model: VALUE,
    contents: { ...CONTENT, items: CONTENT },
    systemInstruction: CONTENT,
    tools: { deepText: true, ...TOOL, items: TOOL },
    toolConfig: DEEP,
    cachedContent: VALUE,
    serviceTier: VALUE,
    labels: VALUE,
    generationConfig: {
      value: true,
      object: {
        maxOutputTokens: VALUE,
        candidateCount: VALUE,
        responseSchema: DEEP,
        responseJsonSchema: DEEP,
        responseModalities: { value: true, items: VALUE },
        thinkingConfig: { object: { thinkingBudget: VALUE } },
      },
    },
  },
});

const MAX_TOKENS_AT = 'generationConfig.maxOutputTokens';
const CHOICES_AT = 'generationConfig.candidateCount';
const MODALITIES_AT = 'generationConfig.responseModalities';
const THINKING_AT = 'generationConfig.thinkingConfig';
const BUDGET_AT = `${THINKING_AT}.thinkingBudget`;

/** Members whose two names may not stand beside each other. */
const SINGLE = [
  ...['contents', 'systemInstruction', 'tools', 'toolConfig', 'cachedContent', 'serviceTier'],
  ...['generationConfig', MAX_TOKENS_AT, CHOICES_AT, MODALITIES_AT],
  ...[THINKING_AT, BUDGET_AT],
];

/** A client may send one content, part or tool in place of a list. */
const PARTS_AT = [
  ...['contents[].parts[]', 'contents[].parts', 'contents.parts[]', 'contents.parts'],
  ...['systemInstruction.parts[]', 'systemInstruction.parts'],
];
const MEDIA_AT = PARTS_AT.flatMap((at) => [at, `${at}.functionResponse.parts[]`]);
const TOOLS_AT = ['tools[]', 'tools'];

/** Frames of turns and of the whole, about four times what providers count. */
const FRAME_TOKENS = 32;
const CONTENT_TOKENS = 8;
/** The instructions that tools add. */
const TOOLS_TOKENS = 512;
const TOOL_TOKENS = 16;

/**
 * Media, "Token counting": a tile of an image has 258 tokens, an image of Gemini 3 has 1,120 by
 * default.
 */
const IMAGE_TOKENS = 1_120;
/** Audio has 32 tokens a second, and some 5.3 KB as speech in base64. */
const AUDIO_BYTES_PER_TOKEN = 166;

export function readContentRequest(
  body: ScannedBody,
  { path, query }: RequestAddress,
  stream: boolean,
): RequestFacts | Failure {
  const twice = spelledTwice(body, SINGLE);
  if (twice !== undefined) {
    return twice;
  }
  if (stream && query.get('alt') !== 'sse') {
    const message = 'Streams are sent as server-sent events only. Add alt=sse to the query.';
    return failure('unsupported_field', message, { param: 'alt' });
  }
  const fields = new BodyFields(body);
  const maxTokens = fields.bound(spelled(body, MAX_TOKENS_AT), 1);
  const choices = fields.count(spelled(body, CHOICES_AT), 1, MAX_CHOICES) ?? 1;
  const input = contentInput(body, path);
  if (fields.problem !== undefined || 'failure' in input) {
    return fields.problem ?? input;
  }
  const serviceTier = plainTier(fields.text(spelled(body, 'serviceTier')));
  const reasoningOff = body.one(spelled(body, BUDGET_AT))?.value === 0;
  const otherOutput = allSpelled(body, `${MODALITIES_AT}[]`).some(({ value }) => !/^text$/i.test(String(value)));
  return {
    ...input,
    stream,
    choices,
    ...(serviceTier !== undefined && { serviceTier }),
    ...(maxTokens !== undefined && { askedOutputTokens: maxTokens }),
    leastOutputTokens: 1,
    hasOutput: true,
    hiddenOutput: otherOutput || hidesContent(input.model, reasoningOff),
    reasoningOff,
  };
}

/** Returns the model that a path names, if it is not too long. */
export function pathModel(path: string): string | Failure {
  const model = modelOfPath(path);
  return Buffer.byteLength(model) > MAX_MODEL_BYTES
    ? invalid('model', `is longer than ${MAX_MODEL_BYTES} bytes`)
    : model;
}

/** Everything except the output; `countTokens` takes the same contents. */
export function contentInput(body: ScannedBody, path: string): RequestFacts | Failure {
  const model = pathModel(path);
  if (typeof model !== 'string') {
    return model;
  }
  // A provider could prefer it to the path, which was routed.
  if (body.count('model') > 0) {
    return invalid('model', 'is named by the path; remove it from the body');
  }
  const unbounded = new Set<Unbounded>();
  const mediaTokens = MEDIA_AT.reduce((sum, at) => sum + mediaTokensAt(body, at, unbounded), 0);
  const tools = body.count('tools[]') + body.count('tools', 'object');
  const declaring = TOOLS_AT.reduce((sum, at) => sum + countSpelled(body, `${at}.functionDeclarations`), 0);
  const runs = (name: string) => TOOLS_AT.some((at) => countSpelled(body, `${at}.${name}`) > 0);
  if (tools > declaring || SERVER_TOOLS.some(runs)) {
    unbounded.add('server_tool');
  }
  if (isSet(body.one(spelled(body, 'cachedContent')))) {
    unbounded.add('stored_conversation');
  }
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
      CONTENT_TOKENS * (body.count('contents[]') + body.count('contents[].parts[]')) +
      (tools === 0 ? 0 : TOOLS_TOKENS + TOOL_TOKENS * tools),
    mediaTokens,
    givenTokens: 0,
    unbounded: [...unbounded],
  };
}

export function editContentRequest(body: ScannedBody, { outputTokens, labels }: RequestEdits): readonly Splice[] {
  const changes = new BodyEdits(body);
  if (outputTokens !== undefined) {
    const config = spelled(body, 'generationConfig');
    const bound = spelled(body, MAX_TOKENS_AT).split('.').at(-1)!;
    changes.setNested(config, { [bound]: outputTokens });
  }
  if (labels !== undefined) {
    changes.setLabels('labels', labels);
  }
  return changes.splices();
}

/** Counts the media of the parts at a path, and notes those that are somewhere else. */
export function mediaTokensAt(body: ScannedBody, at: string, unbounded: Set<Unbounded>): number {
  for (const { value } of allSpelled(body, `${at}.fileData.fileUri`)) {
    unbounded.add(/^https?:/i.test(String(value)) ? 'remote_url' : 'file_reference');
  }
  const data = allSpelled(body, `${at}.inlineData.data`);
  const types = allSpelled(body, `${at}.inlineData.mimeType`);
  let tokens = 0;
  for (const [place, value] of data.entries()) {
    // The API requires a type for all data, so they come in pairs.
    const type = types.length === data.length ? String(types[place]?.value).toLowerCase() : '';
    if (type.startsWith('image/')) {
      tokens += IMAGE_TOKENS;
    } else if (type.startsWith('audio/')) {
      tokens += Math.ceil(byteLength(value) / AUDIO_BYTES_PER_TOKEN);
    } else {
      tokens += fileTokens(byteLength(value));
    }
  }
  return tokens;
}
