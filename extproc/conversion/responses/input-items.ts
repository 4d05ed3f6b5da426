/** Reads the items of `input`, also those that a client echoes from earlier responses. */
import type {
  ConversationMessage,
  ConversationPart,
  JsonRecord,
  ReasoningPart,
  TextPart,
  ToolCallPart,
  ToolResultPart,
} from '../conversation.ts';
import { listOf, recordOf, stringOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { RequestFields } from '../reader-fields.ts';
import { readContent } from './content-parts.ts';
import { readEncryptedContent } from './encrypted-content.ts';
import { customToolArguments, functionName } from './tool-names.ts';

interface ReadInput {
  readonly system: readonly TextPart[];
  readonly messages: readonly ConversationMessage[];
}

export class InputReader {
  readonly #losses: Losses;
  readonly #system: TextPart[] = [];
  readonly #turns: { readonly role: 'user' | 'assistant'; readonly parts: ConversationPart[] }[] = [];
  /** Signs the next call. */
  #callSignature: string | undefined;

  constructor(losses: Losses) {
    this.#losses = losses;
  }

  read(fields: RequestFields): ReadInput {
    const input = fields.any('input');
    if (typeof input === 'string') {
      this.#add('user', [{ type: 'text', text: input }]);
    } else if (input === undefined) {
      this.#losses.invalid('input', 'is missing');
    }
    for (const { object, at } of typeof input === 'string' ? [] : fields.records('input')) {
      this.#item(object, at);
    }
    return { system: this.#system, messages: this.#turns };
  }

  /** Items of one side are one message, because other APIs join a turn's text and its calls. */
  #add(role: 'user' | 'assistant', parts: readonly ConversationPart[]): void {
    const last = this.#turns.at(-1);
    if (last?.role === role) {
      last.parts.push(...parts);
    } else {
      this.#turns.push({ role, parts: [...parts] });
    }
  }

  #item(item: JsonRecord, at: string): void {
    const fields = new RequestFields(item, this.#losses, `${at}.`);
    switch (item['type'] ?? (item['role'] === undefined ? undefined : 'message')) {
      case 'message':
        this.#message(fields, at);
        break;
      case 'function_call':
        this.#add('assistant', [this.#call(fields, fields.text('arguments') ?? '')]);
        break;
      case 'custom_tool_call':
        this.#add('assistant', [this.#call(fields, customToolArguments(fields.text('input') ?? ''))]);
        break;
      case 'function_call_output':
      case 'custom_tool_call_output':
        this.#add('user', [toolResult(fields, at, this.#losses)]);
        break;
      case 'reasoning':
        this.#add('assistant', this.#reasoning(item));
        break;
      case undefined:
      case 'item_reference':
        this.#losses.refused(at, 'needs stored items', 'Send the item itself');
        break;
      default:
        this.#losses.unsupported(at, 'Remove the item');
    }
  }

  #message(fields: RequestFields, at: string): void {
    const parts = readContent(fields, 'content', at, this.#losses);
    const role = fields.any('role');
    switch (role) {
      case 'system':
      case 'developer':
        this.#system.push(...parts.filter((part) => part.type === 'text'));
        break;
      case 'user':
      case 'assistant':
        this.#add(role, parts);
        break;
      default:
        this.#losses.invalid(`${at}.role`, 'must be user, assistant, system or developer');
    }
  }

  #call(fields: RequestFields, text: string): ToolCallPart {
    const signature = this.#callSignature;
    this.#callSignature = undefined;
    return {
      type: 'tool-call',
      id: fields.text('call_id') ?? '',
      name: functionName(fields.text('name') ?? '', fields.text('namespace')),
      arguments: text,
      signature,
    };
  }

  #reasoning(item: JsonRecord): readonly ReasoningPart[] {
    const encrypted = stringOf(item['encrypted_content']);
    const signed = encrypted === undefined ? undefined : readEncryptedContent(encrypted);
    const text = textOf(item['summary']) || textOf(item['content']);
    switch (signed?.signs) {
      case 'thinking':
        return [{ type: 'reasoning', text, signature: signed.value }];
      case 'redacted':
        return [{ type: 'reasoning', text: '', redacted: signed.value }];
      case 'call':
        this.#callSignature = signed.value;
        return [];
      default:
        // Encrypted by another server, for itself.
        return [{ type: 'reasoning', text }];
    }
  }
}

function textOf(parts: unknown): string {
  return (listOf(parts) ?? []).map((part) => stringOf(recordOf(part)?.['text']) ?? '').join('');
}

function toolResult(fields: RequestFields, at: string, losses: Losses): ToolResultPart {
  const parts = readContent(fields, 'output', at, losses).filter(
    (part) => part.type === 'text' || part.type === 'image' || part.type === 'document',
  );
  return { type: 'tool-result', callId: fields.text('call_id') ?? '', parts, isError: false };
}
