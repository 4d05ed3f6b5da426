/** The messages of a request: turns alternate, and the results of tools come first in theirs. */
import type {
  CacheHint,
  ConversationMessage,
  ConversationPart,
  DocumentPart,
  ImagePart,
  JsonRecord,
  ReasoningPart,
  TextPart,
  ToolCallPart,
  ToolResultPart,
} from '../conversation.ts';
import { parsedRecord } from '../json-values.ts';
import type { Losses } from '../losses.ts';

const IMAGES: ReadonlySet<string> = new Set(['image/jpeg', 'image/png', 'image/gif', 'image/webp']);

export function messagesOf(messages: readonly ConversationMessage[], losses: Losses): readonly JsonRecord[] {
  const turns: { readonly role: string; readonly content: JsonRecord[] }[] = [];
  for (const { role, parts } of messages) {
    const blocks = parts.flatMap((part) => blocksOf(part, losses));
    const last = turns.at(-1);
    if (last?.role === role) {
      last.content.push(...blocks);
    } else if (blocks.length > 0) {
      turns.push({ role, content: blocks });
    }
  }
  return turns.map(({ role, content }) => ({ role, content: role === 'user' ? resultsFirst(content) : content }));
}

function resultsFirst(content: readonly JsonRecord[]): readonly JsonRecord[] {
  const isResult = ({ type }: JsonRecord) => type === 'tool_result';
  return [...content.filter(isResult), ...content.filter((block) => !isResult(block))];
}

export function cacheControl({ lifetime }: CacheHint): JsonRecord {
  return lifetime === 'long' ? { type: 'ephemeral', ttl: '1h' } : { type: 'ephemeral' };
}

export function textBlock({ text, cache }: TextPart): JsonRecord {
  return { type: 'text', text, ...cached(cache) };
}

function cached(cache: CacheHint | undefined): JsonRecord {
  return cache === undefined ? {} : { cache_control: cacheControl(cache) };
}

function blocksOf(part: ConversationPart, losses: Losses): readonly JsonRecord[] {
  switch (part.type) {
    case 'text':
      // The API refuses empty text.
      return part.text === '' ? [] : [textBlock(part)];
    case 'refusal':
      return part.text === '' ? [] : [{ type: 'text', text: part.text }];
    case 'image':
      return imageBlock(part, losses);
    case 'document':
      return documentBlock(part, losses);
    case 'audio':
      losses.unsupported(part.at);
      return [];
    case 'reasoning':
      return reasoningBlock(part, losses);
    case 'tool-call':
      losses.callSignature(part.signature);
      return [toolUse(part)];
    case 'tool-result':
      return [toolResult(part, losses)];
    default:
      return part satisfies never;
  }
}

function imageBlock({ source, at, cache }: ImagePart, losses: Losses): readonly JsonRecord[] {
  if (source.type === 'url') {
    return [{ type: 'image', source: { type: 'url', url: source.url }, ...cached(cache) }];
  }
  const { mediaType, data } = source;
  if (!IMAGES.has(mediaType)) {
    losses.unsupported(at, 'Send JPEG, PNG, GIF or WebP');
    return [];
  }
  return [{ type: 'image', source: { type: 'base64', media_type: mediaType, data }, ...cached(cache) }];
}

function documentBlock({ source, title, at, cache }: DocumentPart, losses: Losses): readonly JsonRecord[] {
  const rest = { ...(title !== undefined && { title }), ...cached(cache) };
  if (source.type === 'url') {
    return [{ type: 'document', source: { type: 'url', url: source.url }, ...rest }];
  }
  if (source.type === 'text') {
    return [{ type: 'document', source: { type: 'text', media_type: 'text/plain', data: source.text }, ...rest }];
  }
  const { mediaType, data } = source;
  if (mediaType === 'application/pdf') {
    return [{ type: 'document', source: { type: 'base64', media_type: mediaType, data }, ...rest }];
  }
  if (mediaType.startsWith('text/')) {
    const text = Buffer.from(data, 'base64').toString();
    return [{ type: 'document', source: { type: 'text', media_type: 'text/plain', data: text }, ...rest }];
  }
  losses.unsupported(at, 'Send PDF or plain text');
  return [];
}

/** The API verifies signatures, so reasoning of other providers stays behind. */
function reasoningBlock({ text, signature, redacted }: ReasoningPart, losses: Losses): readonly JsonRecord[] {
  if (redacted !== undefined) {
    return [{ type: 'redacted_thinking', data: redacted }];
  }
  if (signature === undefined) {
    losses.hintOption('echoedReasoning');
    return [];
  }
  return [{ type: 'thinking', thinking: text, signature }];
}

function toolUse({ id, name, arguments: text, cache }: ToolCallPart): JsonRecord {
  const input = text.trim() === '' ? {} : parsedRecord(text);
  // Invalid arguments stay readable for the model, in the form that Anthropic's guide to tools has.
  return {
    type: 'tool_use',
    id: toolId(id),
    name,
    input: input ?? { INVALID_JSON: text },
    ...cached(cache),
  };
}

function toolResult({ callId, parts, isError, cache }: ToolResultPart, losses: Losses): JsonRecord {
  const content = parts.flatMap((part) => blocksOf(part, losses));
  return {
    type: 'tool_result',
    tool_use_id: toolId(callId),
    ...(content.length > 0 && { content }),
    ...(isError && { is_error: true }),
    ...cached(cache),
  };
}

/** Replaces characters that the API does not allow in ids. */
export function toolId(id: string): string {
  return id.replace(/[^\w-]/g, '_') || '_';
}
