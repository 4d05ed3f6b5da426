/** The messages of a request: results of tools are messages of their own. */
import { imagePart, shortContent, systemMessages, userMessages } from '../chat-form.ts';
import type { Conversation, ConversationMessage, ConversationPart, DocumentPart, JsonRecord } from '../conversation.ts';
import type { Losses } from '../losses.ts';
import { thinks } from './models.ts';

export function cohereMessages(
  { system, messages }: Conversation,
  model: string,
  losses: Losses,
): readonly JsonRecord[] {
  return [
    ...systemMessages(system),
    ...turnsOf(messages).flatMap(({ role, parts }) =>
      role === 'user' ? userMessages(parts, losses, contentPart) : assistantMessages(parts, model, losses),
    ),
  ];
}

/** Joins consecutive messages of one role, so that all results of tools come first. */
function turnsOf(messages: readonly ConversationMessage[]): readonly ConversationMessage[] {
  const turns: { readonly role: ConversationMessage['role']; readonly parts: ConversationPart[] }[] = [];
  for (const { role, parts } of messages) {
    const last = turns.at(-1);
    if (last?.role === role) {
      last.parts.push(...parts);
    } else {
      turns.push({ role, parts: [...parts] });
    }
  }
  return turns;
}

/** Text before tool calls is what Cohere calls the plan. */
function assistantMessages(parts: readonly ConversationPart[], model: string, losses: Losses): readonly JsonRecord[] {
  const thoughts: JsonRecord[] = [];
  const texts: string[] = [];
  const calls: JsonRecord[] = [];
  for (const part of parts) {
    switch (part.type) {
      case 'text':
      case 'refusal':
        texts.push(part.text);
        break;
      case 'tool-call': {
        losses.callSignature(part.signature);
        const called = { name: part.name, arguments: part.arguments.trim() === '' ? '{}' : part.arguments };
        calls.push({ id: part.id, type: 'function', function: called });
        break;
      }
      case 'reasoning':
        if (part.text !== '' && thinks(model)) {
          thoughts.push({ type: 'thinking', thinking: part.text });
        } else {
          losses.hintOption('echoedReasoning');
        }
        break;
      default:
        losses.unsupported('at' in part ? part.at : 'messages.content');
    }
  }
  const text = texts.join('');
  const isPlan = calls.length > 0;
  const content = [...thoughts, ...(text === '' || isPlan ? [] : [{ type: 'text', text }])];
  if (content.length === 0 && !isPlan) {
    return [];
  }
  return [
    {
      role: 'assistant',
      ...(content.length > 0 && { content: shortContent(content) }),
      ...(isPlan && { tool_calls: calls, ...(text !== '' && { tool_plan: text }) }),
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
      losses.unsupported(part.at);
      return [];
    default:
      // Clients have no tool calls and no reasoning in messages of the user.
      losses.unsupported('messages.content');
      return [];
  }
}

function documentPart({ source, title, at }: DocumentPart, losses: Losses): readonly JsonRecord[] {
  const text = textOf(source);
  if (text === undefined) {
    losses.unsupported(at, 'Send the text of the document');
    return [];
  }
  return [{ type: 'text', text: title === undefined ? text : `${title}\n\n${text}` }];
}

function textOf(source: DocumentPart['source']): string | undefined {
  switch (source.type) {
    case 'text':
      return source.text;
    case 'base64':
      return source.mediaType.startsWith('text/') ? Buffer.from(source.data, 'base64').toString() : undefined;
    default:
      return undefined;
  }
}
