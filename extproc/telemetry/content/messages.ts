/**
 * Content as OpenTelemetry's conventions for generative AI describe it: the JSON schemas of
 * `gen_ai.input.messages`, `gen_ai.output.messages` and `gen_ai.system_instructions`
 * (https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-events/).
 */
import type { RecordedPart, RecordedText } from '../../record.ts';

export type MessagePart = Readonly<Record<string, string>>;

export interface ContentMessage {
  readonly role: string;
  readonly parts: MessagePart[];
}

/** An answer, with why the model stopped as far as the gateway knows. */
export interface OutputMessage extends ContentMessage {
  readonly finish_reason: string;
}

const roles: Readonly<Record<RecordedText['scope'], string>> = {
  system: 'system',
  user: 'user',
  assistant: 'assistant',
  toolCall: 'assistant',
  toolResult: 'tool',
  reasoning: 'assistant',
};

export function instructionsOf({ texts }: RecordedPart): readonly MessagePart[] {
  return texts.filter(({ scope }) => scope === 'system').map(partOf);
}

/** Returns the messages without instructions. Texts of one role in a row are one message. */
export function messagesOf({ texts }: RecordedPart): readonly ContentMessage[] {
  const messages: ContentMessage[] = [];
  for (const text of texts.filter(({ scope }) => scope !== 'system')) {
    const role = roles[text.scope];
    const last = messages.at(-1);
    if (last?.role === role) {
      last.parts.push(partOf(text));
    } else {
      messages.push({ role, parts: [partOf(text)] });
    }
  }
  return messages;
}

/** The names and ids of tools are not kept. */
function partOf({ scope, text }: RecordedText): MessagePart {
  switch (scope) {
    case 'toolCall':
      return { type: 'tool_call', name: '', arguments: text };
    case 'toolResult':
      return { type: 'tool_call_response', response: text };
    case 'reasoning':
      return { type: 'reasoning', content: text };
    default:
      return { type: 'text', content: text };
  }
}
