/** The contents of a request: turns, in which the results of functions come first. */

import { isGeneration3 } from '../../providers/gemini/models.ts';
import type {
  ConversationMessage,
  ConversationPart,
  DocumentPart,
  ImagePart,
  JsonRecord,
  ToolCallPart,
  ToolResultPart,
} from '../conversation.ts';
import { parsedRecord } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { audioPart, documentPart, imagePart } from './media.ts';

/**
 * In place of a signature that the client has not kept, or of a call of another provider's model:
 * https://ai.google.dev/gemini-api/docs/thought-signatures
 */
const NO_SIGNATURE = 'skip_thought_signature_validator';

interface ContentTurn {
  readonly role: 'user' | 'assistant';
  readonly parts: ConversationPart[];
}

/** A tool call by its id; results are in the order of their calls. */
interface Called {
  readonly name: string;
  readonly place: number;
}

export function contentsOf(
  messages: readonly ConversationMessage[],
  model: string,
  losses: Losses,
): readonly JsonRecord[] {
  const writer = new ContentsWriter(model, losses);
  return turnsOf(messages).flatMap(({ role, parts }) => {
    return role === 'user' ? writer.userContents(parts) : writer.modelContents(parts);
  });
}

function turnsOf(messages: readonly ConversationMessage[]): readonly ContentTurn[] {
  const turns: ContentTurn[] = [];
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

class ContentsWriter {
  readonly #isGeneration3: boolean;
  readonly #losses: Losses;
  readonly #calls = new Map<string, Called>();

  constructor(model: string, losses: Losses) {
    this.#isGeneration3 = isGeneration3(model);
    this.#losses = losses;
  }

  /** The API wants all results of a turn in one content, before anything else. */
  userContents(parts: readonly ConversationPart[]): readonly JsonRecord[] {
    const results = parts
      .filter((part) => part.type === 'tool-result')
      .toSorted((one, other) => this.#placeOf(one) - this.#placeOf(other));
    const others = [
      ...results.flatMap((result) => result.parts.filter((part) => !this.#staysInResult(part))),
      ...parts.filter((part) => part.type !== 'tool-result'),
    ];
    return [
      ...content(
        'user',
        results.map((result) => this.#functionResponse(result)),
      ),
      ...content(
        'user',
        others.flatMap((part) => this.#part(part)),
      ),
    ];
  }

  modelContents(parts: readonly ConversationPart[]): readonly JsonRecord[] {
    const written = parts.flatMap((part) => this.#part(part));
    const first = written.findIndex((part) => 'functionCall' in part);
    const call = written[first];
    if (call !== undefined && !('thoughtSignature' in call) && this.#isGeneration3) {
      written[first] = { ...call, thoughtSignature: NO_SIGNATURE };
    }
    return content('model', written);
  }

  #part(part: ConversationPart): readonly JsonRecord[] {
    switch (part.type) {
      case 'text':
      case 'refusal':
        return part.text === '' ? [] : [{ text: part.text }];
      case 'image':
        return imagePart(part, this.#losses);
      case 'document':
        return documentPart(part, this.#losses);
      case 'audio':
        return audioPart(part, this.#losses);
      case 'reasoning':
        // The model continues from the signatures of its calls.
        this.#losses.hintOption('echoedReasoning');
        return [];
      case 'tool-call':
        return [this.#functionCall(part)];
      case 'tool-result':
        // Clients have no results in messages of the assistant.
        this.#losses.unsupported('messages.content');
        return [];
      default:
        return part satisfies never;
    }
  }

  #functionCall({ id, name, arguments: text, signature }: ToolCallPart): JsonRecord {
    this.#calls.set(id, { name, place: this.#calls.size });
    const args = text.trim() === '' ? {} : (parsedRecord(text) ?? { INVALID_JSON: text });
    return {
      functionCall: { ...this.#idOf(id), name, args },
      ...(signature !== undefined && { thoughtSignature: signature }),
    };
  }

  #functionResponse(result: ToolResultPart): JsonRecord {
    const { callId, parts, isError } = result;
    const called = this.#calls.get(callId);
    if (called === undefined) {
      this.#losses.invalid('messages', 'has the result of a tool call that no message before it has');
    }
    const kept = parts.filter((part) => this.#staysInResult(part) && part.type !== 'text');
    const media = kept.flatMap((part) => this.#part(part));
    const text = parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
    return {
      functionResponse: {
        ...this.#idOf(callId),
        name: called?.name ?? '',
        response: isError ? { error: text } : { output: text },
        ...(media.length > 0 && { parts: media }),
      },
    };
  }

  /** Earlier generations on Vertex refuse ids. */
  #idOf(id: string): JsonRecord {
    return this.#isGeneration3 && id !== '' ? { id } : {};
  }

  /** Other media follow in a content of their own. */
  #staysInResult(part: ToolResultPart['parts'][number]): boolean {
    return part.type === 'text' || (this.#isGeneration3 && hasInlineData(part));
  }

  #placeOf({ callId }: ToolResultPart): number {
    return this.#calls.get(callId)?.place ?? 0;
  }
}

function hasInlineData({ source }: ImagePart | DocumentPart): boolean {
  return source.type === 'base64' && !source.mediaType.startsWith('text/');
}

function content(role: string, parts: readonly JsonRecord[]): readonly JsonRecord[] {
  return parts.length === 0 ? [] : [{ role, parts }];
}
