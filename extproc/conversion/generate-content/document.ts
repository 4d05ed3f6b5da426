/** Unary responses of generateContent. */

import type { ResponseOptions } from '../../providers/adapter.ts';
import { usageMetadata } from '../../providers/gemini/content-stream-writer.ts';
import type { Usage } from '../../usage.ts';
import type { AnswerBlock, CollectedAnswer, FinishReason } from '../answer.ts';
import type { JsonRecord } from '../conversation.ts';
import { parsedRecord } from '../json-values.ts';
import type { ContentEcho } from './config.ts';
import { type SignedThought, thoughtSignature } from './signatures.ts';

/** Clients choose the ids of requests. */
const MAX_OWN_ID_CHARACTERS = 64;

export function contentDocument(
  answer: CollectedAnswer,
  options: ResponseOptions,
  { includesThoughts }: ContentEcho,
): Uint8Array {
  const { blocks, reason, usage, model } = answer;
  const id = answer.id || ownId(options);
  const parts = partsOf(blocks, includesThoughts, id);
  const head = { responseId: id, modelVersion: model ?? options.model };
  return Buffer.from(JSON.stringify(contentResponse(parts, head, finishReason(reason), usage)));
}

/** An id for a response to which the provider gave none. */
export function ownId({ requestId }: ResponseOptions): string {
  return requestId?.slice(0, MAX_OWN_ID_CHARACTERS) ?? 'tallygate';
}

/** An id for a call to which the provider gave none. */
export function callId(responseId: string, index: number): string {
  return `call_${responseId.replace(/[^\w-]/g, '_')}_${index}`;
}

/** A whole response, or an event of a stream. */
export function contentResponse(
  parts: readonly JsonRecord[],
  head: JsonRecord,
  reason: string | undefined,
  usage: Usage | undefined,
): JsonRecord {
  return {
    candidates: [
      { content: { parts, role: 'model' }, ...(reason !== undefined && { finishReason: reason }), index: 0 },
    ],
    ...(usage !== undefined && { usageMetadata: usageMetadata(usage) }),
    ...head,
  };
}

export function finishReason(reason: FinishReason): string {
  switch (reason) {
    case 'stop':
    case 'tool-calls':
      return 'STOP';
    case 'length':
      return 'MAX_TOKENS';
    case 'refusal':
      return 'SAFETY';
    default:
      return reason satisfies never;
  }
}

export function textPart(text: string, thoughts: readonly SignedThought[]): JsonRecord {
  return signed({ text }, thoughts);
}

export function callPart(id: string, name: string, text: string, thoughts: readonly SignedThought[]): JsonRecord {
  const args = text.trim() === '' ? {} : (parsedRecord(text) ?? { INVALID_JSON: text });
  return signed({ functionCall: { id, name, args } }, thoughts);
}

function signed(part: JsonRecord, thoughts: readonly SignedThought[]): JsonRecord {
  const signature = thoughtSignature(thoughts);
  return signature === undefined ? part : { ...part, thoughtSignature: signature };
}

/** Signed reasoning goes with the part after it. */
function partsOf(blocks: readonly AnswerBlock[], includesThoughts: boolean, id: string): readonly JsonRecord[] {
  const parts: JsonRecord[] = [];
  let thoughts: SignedThought[] = [];
  const take = () => {
    const taken = thoughts;
    thoughts = [];
    return taken;
  };
  for (const block of blocks) {
    switch (block.type) {
      case 'text':
      case 'refusal':
        parts.push(textPart(block.text, take()));
        break;
      case 'reasoning':
        if (includesThoughts && block.text !== '') {
          parts.push({ text: block.text, thought: true });
        }
        if (block.signature !== undefined) {
          thoughts.push({ type: 'reasoning', text: block.text, signature: block.signature });
        }
        break;
      case 'redacted-reasoning':
        thoughts.push({ type: 'redacted', data: block.data });
        break;
      case 'tool-call': {
        const { signature, name } = block;
        const own: readonly SignedThought[] = signature === undefined ? [] : [{ type: 'call', signature }];
        parts.push(callPart(block.id || callId(id, parts.length), name, block.arguments, [...take(), ...own]));
        break;
      }
      default:
        throw new Error(`unknown block ${(block satisfies never as AnswerBlock).type}`);
    }
  }
  return thoughts.length === 0 ? parts : [...parts, textPart('', take())];
}
