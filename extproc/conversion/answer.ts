/**
 * A response in the form between the provider APIs and the client APIs: parts in order, of a
 * stream as they arrive, of a document all at once.
 */
import type { Failure } from '../errors.ts';
import type { EventFacts } from '../providers/adapter.ts';
import type { Usage } from '../usage.ts';

/**
 * A stream begins with `start` and ends with `end` or `error`. Text, reasoning and arguments
 * continue the block of the same kind before them; `tool-call` begins one. Tokens are in `usage`
 * only, so that they are converted once.
 */
export type AnswerPart =
  | { readonly type: 'start'; readonly id: string | undefined; readonly model: string | undefined }
  | { readonly type: 'text' | 'refusal' | 'reasoning'; readonly text: string }
  /** Ends the reasoning before it. */
  | { readonly type: 'signature'; readonly signature: string }
  | { readonly type: 'redacted-reasoning'; readonly data: string }
  | {
      readonly type: 'tool-call';
      readonly id: string | undefined;
      readonly name: string;
      /** See `ToolCallPart.signature`. */
      readonly signature?: string | undefined;
    }
  /** A part of the arguments of the last tool call, as JSON text. */
  | { readonly type: 'arguments'; readonly text: string }
  | { readonly type: 'block-end' }
  | {
      readonly type: 'usage';
      readonly usage: Usage;
      /** The service tier that the answer names, where the parts meter it. */
      readonly serviceTier?: string | undefined;
    }
  | { readonly type: 'finish'; readonly reason: FinishReason; readonly stop?: string | undefined }
  | { readonly type: 'end' }
  | { readonly type: 'error'; readonly failure: Failure };

/** `stop`: the model was done, or wrote a stop sequence. */
export type FinishReason = 'stop' | 'length' | 'tool-calls' | 'refusal';

/** The parts of one event of a provider's stream. */
export class AnswerFacts implements EventFacts {
  readonly parts: readonly AnswerPart[];

  constructor(parts: readonly AnswerPart[]) {
    this.parts = parts;
  }

  kept(): AnswerFacts {
    return this;
  }
}

/** A whole answer, for documents. */
export interface CollectedAnswer {
  readonly id: string | undefined;
  readonly model: string | undefined;
  readonly blocks: readonly AnswerBlock[];
  readonly usage: Usage | undefined;
  readonly reason: FinishReason;
  readonly stop: string | undefined;
}

export type AnswerBlock =
  | { readonly type: 'text' | 'refusal'; readonly text: string }
  | { readonly type: 'reasoning'; readonly text: string; readonly signature: string | undefined }
  | { readonly type: 'redacted-reasoning'; readonly data: string }
  | {
      readonly type: 'tool-call';
      readonly id: string | undefined;
      readonly name: string;
      readonly arguments: string;
      readonly signature: string | undefined;
    };

/** A block whose text still grows. */
interface GrowingBlock {
  readonly type: AnswerBlock['type'];
  readonly texts: string[];
  readonly id?: string | undefined;
  readonly name?: string;
  signature?: string | undefined;
}

/** Collects the parts of an answer. Returns the failure of an `error` part. */
export function collectAnswer(parts: Iterable<AnswerPart>): CollectedAnswer | Failure {
  const answer = new AnswerCollector();
  for (const part of parts) {
    if (part.type === 'error') {
      return part.failure;
    }
    answer.take(part);
  }
  return answer.collected();
}

class AnswerCollector {
  #id: string | undefined;
  #model: string | undefined;
  #usage: Usage | undefined;
  #reason: FinishReason = 'stop';
  #stop: string | undefined;
  readonly #blocks: GrowingBlock[] = [];
  #open = false;

  take(part: Exclude<AnswerPart, { type: 'error' }>): void {
    switch (part.type) {
      case 'start':
        this.#id = part.id;
        this.#model = part.model;
        break;
      case 'text':
      case 'refusal':
      case 'reasoning':
        this.#growing(part.type).texts.push(part.text);
        break;
      case 'signature':
        this.#growing('reasoning').signature = part.signature;
        this.#open = false;
        break;
      case 'redacted-reasoning':
        this.#blocks.push({ type: part.type, texts: [part.data] });
        this.#open = false;
        break;
      case 'tool-call':
        this.#blocks.push({ ...part, texts: [] });
        this.#open = true;
        break;
      case 'arguments':
        this.#blocks.findLast(({ type }) => type === 'tool-call')?.texts.push(part.text);
        break;
      case 'block-end':
        this.#open = false;
        break;
      case 'usage':
        this.#usage = part.usage;
        break;
      case 'finish':
        this.#reason = part.reason;
        this.#stop = part.stop;
        break;
      case 'end':
        break;
      default:
        throw new Error(`unknown part ${(part satisfies never as AnswerPart).type}`);
    }
  }

  collected(): CollectedAnswer {
    return {
      id: this.#id,
      model: this.#model,
      blocks: this.#blocks.map(wholeBlock),
      usage: this.#usage,
      reason: this.#reason,
      stop: this.#stop,
    };
  }

  #growing(type: 'text' | 'refusal' | 'reasoning'): GrowingBlock {
    const last = this.#blocks.at(-1);
    if (this.#open && last?.type === type) {
      return last;
    }
    const block: GrowingBlock = { type, texts: [] };
    this.#blocks.push(block);
    this.#open = true;
    return block;
  }
}

function wholeBlock({ type, texts, id, name = '', signature }: GrowingBlock): AnswerBlock {
  const text = texts.join('');
  switch (type) {
    case 'text':
    case 'refusal':
      return { type, text };
    case 'reasoning':
      return { type, text, signature };
    case 'redacted-reasoning':
      return { type, data: text };
    case 'tool-call':
      return { type, id, name, arguments: text, signature };
    default:
      return type satisfies never;
  }
}
