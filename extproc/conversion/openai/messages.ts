/** The messages of a request: results of tools are messages of their own. */
import type {
  Conversation,
  ConversationPart,
  DocumentPart,
  ImagePart,
  JsonRecord,
  ToolResultPart,
} from '../conversation.ts';
import type { Losses } from '../losses.ts';
import { dataUrl } from '../reader-fields.ts';

export function chatMessages({ system, messages }: Conversation, losses: Losses): readonly JsonRecord[] {
  const instructions = system.map(({ text }) => text).join('\n\n');
  return [
    ...(instructions === '' ? [] : [{ role: 'system', content: instructions }]),
    ...messages.flatMap(({ role, parts }) =>
      role === 'user' ? userMessages(parts, losses) : assistantMessages(parts, losses),
    ),
  ];
}

function userMessages(parts: readonly ConversationPart[], losses: Losses): readonly JsonRecord[] {
  const results = parts.filter((part) => part.type === 'tool-result');
  const content = [
    // The API takes only text in results of tools.
    ...results.flatMap((result) => result.parts.filter((part) => part.type !== 'text')),
    ...parts.filter((part) => part.type !== 'tool-result'),
  ].flatMap((part) => contentPart(part, losses));
  return [
    ...results.map((result) => toolMessage(result, losses)),
    ...(content.length === 0 ? [] : [{ role: 'user', content: shortContent(content) }]),
  ];
}

/** Compatible servers understand a string best. */
function shortContent(content: readonly JsonRecord[]): unknown {
  const [only] = content;
  return content.length === 1 && only?.['type'] === 'text' ? only['text'] : content;
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

function assistantMessages(parts: readonly ConversationPart[], losses: Losses): readonly JsonRecord[] {
  const texts: string[] = [];
  const refusals: string[] = [];
  const calls: JsonRecord[] = [];
  for (const part of parts) {
    switch (part.type) {
      case 'text':
        texts.push(part.text);
        break;
      case 'refusal':
        refusals.push(part.text);
        break;
      case 'tool-call':
        losses.callSignature(part.signature);
        calls.push({
          id: part.id,
          type: 'function',
          function: { name: part.name, arguments: part.arguments },
        });
        break;
      case 'reasoning':
        losses.hintOption('echoedReasoning');
        break;
      default:
        losses.unsupported('at' in part ? part.at : 'messages.content');
    }
  }
  const text = texts.join('');
  if (text === '' && refusals.length === 0 && calls.length === 0) {
    return [];
  }
  return [
    {
      role: 'assistant',
      content: text === '' ? null : text,
      ...(refusals.length > 0 && { refusal: refusals.join('') }),
      ...(calls.length > 0 && { tool_calls: calls }),
    },
  ];
}

function contentPart(part: ConversationPart, losses: Losses): readonly JsonRecord[] {
  switch (part.type) {
    case 'text':
    case 'refusal':
      return part.text === '' ? [] : [{ type: 'text', text: part.text }];
    case 'image':
      return [imagePart(part)];
    case 'document':
      return documentPart(part, losses);
    case 'audio':
      return [{ type: 'input_audio', input_audio: { data: part.data, format: part.format } }];
    default:
      // Clients have no tool calls and no reasoning in messages of the user.
      losses.unsupported('messages.content');
      return [];
  }
}

function imagePart({ source, detail }: ImagePart): JsonRecord {
  const url = source.type === 'url' ? source.url : dataUrl(source.mediaType, source.data);
  return { type: 'image_url', image_url: { url, ...(detail !== undefined && { detail }) } };
}

function documentPart({ source, title, at }: DocumentPart, losses: Losses): readonly JsonRecord[] {
  if (source.type === 'url') {
    losses.unsupported(at, 'Send the contents of the document');
    return [];
  }
  if (source.type === 'text') {
    return [{ type: 'text', text: title === undefined ? source.text : `${title}\n\n${source.text}` }];
  }
  const { mediaType, data } = source;
  if (mediaType.startsWith('text/')) {
    return [{ type: 'text', text: Buffer.from(data, 'base64').toString() }];
  }
  const file = { filename: title ?? 'document.pdf', file_data: dataUrl(mediaType, data) };
  return [{ type: 'file', file }];
}
