/** The items of `output`: https://platform.openai.com/docs/api-reference/responses/object */
import type { AnswerBlock } from '../answer.ts';
import type { JsonRecord } from '../conversation.ts';
import { encryptedContent } from './encrypted-content.ts';
import { customToolInput, type ToolIdentities } from './tool-names.ts';

type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

type CallBlock = Extract<AnswerBlock, { type: 'tool-call' }>;

/** OpenAI allows 64 characters in ids. */
const MAX_BASE_CHARACTERS = 48;

/** Ids of the items of one response, by their place. */
export class ItemIds {
  readonly responseId: string;
  readonly #base: string;

  /** `answerId` is the provider's id of the answer, or of the request. */
  constructor(answerId: string) {
    this.#base = answerId
      .replace(/^resp_/, '')
      .replace(/[^\w-]/g, '_')
      .slice(-MAX_BASE_CHARACTERS);
    this.responseId = `resp_${this.#base}`;
  }

  of(prefix: 'msg' | 'rs' | 'fc' | 'ctc' | 'call', index: number): string {
    return `${prefix}_${this.#base}_${index}`;
  }
}

export function textContent(text: string): JsonRecord {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}

export function refusalContent(refusal: string): JsonRecord {
  return { type: 'refusal', refusal };
}

export function messageItem(id: string, content: readonly JsonRecord[], status: ItemStatus): JsonRecord {
  return { id, type: 'message', status, role: 'assistant', content };
}

export function summaryPart(text: string): JsonRecord {
  return { type: 'summary_text', text };
}

export function reasoningItem(id: string, text: string, encrypted: string | undefined): JsonRecord {
  return {
    id,
    type: 'reasoning',
    summary: text === '' ? [] : [summaryPart(text)],
    ...(encrypted !== undefined && { encrypted_content: encrypted }),
  };
}

/** Returns the item of a call, in the form in which the client has defined the tool. */
export function callItem(
  call: CallBlock,
  index: number,
  ids: ItemIds,
  tools: ToolIdentities,
  status: ItemStatus,
): JsonRecord {
  const tool = tools.get(call.name);
  const { namespace } = tool ?? {};
  const names = {
    call_id: call.id || ids.of('call', index),
    name: tool?.name ?? call.name,
    ...(namespace !== undefined && { namespace }),
  };
  const { arguments: text } = call;
  return tool?.custom === true
    ? { id: ids.of('ctc', index), type: 'custom_tool_call', status, ...names, input: customToolInput(text) }
    : { id: ids.of('fc', index), type: 'function_call', status, ...names, arguments: text };
}

/** Returns the items of a whole answer. */
export function outputItems(
  blocks: readonly AnswerBlock[],
  ids: ItemIds,
  tools: ToolIdentities,
  lastStatus: ItemStatus,
): readonly JsonRecord[] {
  const items: JsonRecord[] = [];
  for (const [place, block] of blocks.entries()) {
    const status = place === blocks.length - 1 ? lastStatus : 'completed';
    const index = items.length;
    switch (block.type) {
      case 'text':
        items.push(messageItem(ids.of('msg', index), [textContent(block.text)], status));
        break;
      case 'refusal':
        items.push(messageItem(ids.of('msg', index), [refusalContent(block.text)], status));
        break;
      case 'reasoning': {
        const { text, signature: value } = block;
        const encrypted = value === undefined ? undefined : encryptedContent({ signs: 'thinking', value });
        items.push(reasoningItem(ids.of('rs', index), text, encrypted));
        break;
      }
      case 'redacted-reasoning':
        items.push(redactedItem(block.data, ids.of('rs', index)));
        break;
      case 'tool-call':
        if (block.signature !== undefined) {
          items.push(callSignatureItem(block.signature, ids.of('rs', index)));
        }
        items.push(callItem({ ...block, arguments: block.arguments || '{}' }, items.length, ids, tools, status));
        break;
      default:
        throw new Error(`unknown block ${(block satisfies never as AnswerBlock).type}`);
    }
  }
  return items;
}

export function redactedItem(data: string, id: string): JsonRecord {
  return reasoningItem(id, '', encryptedContent({ signs: 'redacted', value: data }));
}

/** Clients echo no signatures of calls, so reasoning before the call carries it. */
export function callSignatureItem(signature: string, id: string): JsonRecord {
  return reasoningItem(id, '', encryptedContent({ signs: 'call', value: signature }));
}
