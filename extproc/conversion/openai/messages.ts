/** The messages of a request: results of tools are messages of their own. */
import { imagePart, systemMessages, userMessages } from '../chat-form.ts';
import type { Conversation, ConversationPart, DocumentPart, JsonRecord } from '../conversation.ts';
import type { Losses } from '../losses.ts';
import { dataUrl } from '../reader-fields.ts';

export function chatMessages({ system, messages }: Conversation, losses: Losses): readonly JsonRecord[] {
  return [
    ...systemMessages(system),
    ...messages.flatMap(({ role, parts }) =>
      role === 'user' ? userMessages(parts, losses, contentPart) : assistantMessages(parts, losses),
    ),
  ];
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
