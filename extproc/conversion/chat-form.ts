/** What the messages of chat completions and of Cohere's API have in common. */
import type { ConversationPart, ImagePart, JsonRecord, TextPart, ToolResultPart } from './conversation.ts';
import type { Losses } from './losses.ts';
import { dataUrl } from './reader-fields.ts';

export function systemMessages(system: readonly TextPart[]): readonly JsonRecord[] {
  const instructions = system.map(({ text }) => text).join('\n\n');
  return instructions === '' ? [] : [{ role: 'system', content: instructions }];
}

/**
 * Returns the messages for the parts of a user: results of tools are messages of their own, and
 * take only text, so what else they contain follows them.
 */
export function userMessages(
  parts: readonly ConversationPart[],
  losses: Losses,
  contentPart: (part: ConversationPart, losses: Losses) => readonly JsonRecord[],
): readonly JsonRecord[] {
  const results = parts.filter((part) => part.type === 'tool-result');
  const content = [
    ...results.flatMap((result) => result.parts.filter((part) => part.type !== 'text')),
    ...parts.filter((part) => part.type !== 'tool-result'),
  ].flatMap((part) => contentPart(part, losses));
  return [
    ...results.map((result) => toolMessage(result, losses)),
    ...(content.length === 0 ? [] : [{ role: 'user', content: shortContent(content) }]),
  ];
}

/** Compatible servers understand a string best. */
export function shortContent(content: readonly JsonRecord[]): unknown {
  const [only] = content;
  return content.length === 1 && only?.['type'] === 'text' ? only['text'] : content;
}

export function imagePart({ source, detail }: ImagePart): JsonRecord {
  const url = source.type === 'url' ? source.url : dataUrl(source.mediaType, source.data);
  return { type: 'image_url', image_url: { url, ...(detail !== undefined && { detail }) } };
}

function toolMessage({ callId, parts, isError }: ToolResultPart, losses: Losses): JsonRecord {
  if (isError) {
    losses.hintOption('resultError');
  }
  const text = parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
  const media = parts.some(({ type }) => type !== 'text');
  return {
    role: 'tool',
    tool_call_id: callId,
    content: text === '' && media ? 'The result is in the next message.' : text,
  };
}
