/**
 * Writes streams of chat completions and of completions: removes usage that only the gateway asked
 * for, and ends a stream early.
 */
import { copyBytes } from '../../../runtime/copy-bytes.ts';
import { jsonText } from '../../../runtime/json-text.ts';
import type { Failure } from '../../errors.ts';
import type { Usage } from '../../usage.ts';
import type { EventVerdict, RequestFacts, ResponseOptions, StreamWriter } from '../adapter.ts';
import type { ChoiceChange, ChoiceEventFacts } from './choice-event-facts.ts';
import type { ChoiceForm, ChunkHead } from './chunk.ts';
import { closingChunks } from './closing-chunks.ts';
import { openAiError } from './errors.ts';

const NOTHING = new Uint8Array(0);
const UNKNOWN_HEAD: ChunkHead = { id: undefined, created: undefined, model: undefined, systemFingerprint: undefined };

export class ChoiceStreamWriter implements StreamWriter<ChoiceEventFacts> {
  replacement: Uint8Array = NOTHING;
  readonly #form: ChoiceForm;
  readonly #request: RequestFacts;
  readonly #options: ResponseOptions;
  readonly #finished = new Set<number>();
  readonly #begun = new Set<number>();
  #head = UNKNOWN_HEAD;
  #usageSent = false;
  #ended = false;

  constructor(form: ChoiceForm, request: RequestFacts, options: ResponseOptions) {
    this.#form = form;
    this.#request = request;
    this.#options = options;
  }

  write(bytes: Uint8Array, start: number, end: number, facts: ChoiceEventFacts): EventVerdict {
    if (facts.change !== undefined) {
      this.#apply(facts.change);
    }
    if (!this.#options.hideUsage) {
      return 'pass';
    }
    if (facts.addedUsage) {
      return 'drop';
    }
    if (facts.nullUsageEnd === 0) {
      return 'pass';
    }
    this.replacement = without(bytes, start, end, start + facts.nullUsageStart, start + facts.nullUsageEnd);
    return 'replace';
  }

  truncate(usage: Usage): Uint8Array {
    if (this.#ended) {
      return NOTHING;
    }
    return closingChunks({
      form: this.#form,
      head: this.#head,
      model: this.#options.model,
      open: this.#openChoices(),
      begun: this.#begun,
      usage: this.#request.usageAsked && !this.#usageSent ? usage : undefined,
    });
  }

  fail(failure: Failure): Uint8Array {
    return Buffer.from(`data: ${jsonText(openAiError(failure))}\n\ndata: [DONE]\n\n`);
  }

  #apply({ head, begun, finished, usage, ended }: ChoiceChange): void {
    this.#head = head ?? this.#head;
    for (const choice of begun) {
      this.#begun.add(choice);
    }
    for (const choice of finished) {
      this.#finished.add(choice);
    }
    this.#usageSent ||= usage;
    this.#ended ||= ended;
  }

  #openChoices(): readonly number[] {
    const open: number[] = [];
    for (let choice = 0; choice < this.#request.choices; choice++) {
      if (!this.#finished.has(choice)) {
        open.push(choice);
      }
    }
    return open;
  }
}

function without(bytes: Uint8Array, start: number, end: number, from: number, to: number): Uint8Array {
  const kept = Buffer.allocUnsafe(end - start - (to - from));
  copyBytes(bytes, start, from, kept, 0);
  copyBytes(bytes, to, end, kept, from - start);
  return kept;
}
