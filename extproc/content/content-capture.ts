/** The content of one request that policies keep: collected once, redacted for each policy. */
import type { ContentPolicy } from '../../contract/content.ts';
import type { RecordedContent, RecordedPart, UnredactedContent } from '../record.ts';
import { AnswerTexts } from './answer-texts.ts';
import type { CompiledContentPolicy } from './compile.ts';
import type { CollectedTexts, ContentDropReason } from './content-text.ts';
import { Redactor } from './redact.ts';

export class ContentCapture {
  readonly #policies: readonly CompiledContentPolicy[];
  #prompt: CollectedTexts | ContentDropReason | undefined;
  /** Present where a policy keeps answers. */
  readonly answer: AnswerTexts | undefined;

  constructor(policies: readonly CompiledContentPolicy[]) {
    this.#policies = policies;
    const most = this.#mostBytes('Response');
    this.answer = most === 0 ? undefined : new AnswerTexts(most);
  }

  /** The most bytes of a prompt that a policy keeps; 0: none keeps prompts. */
  get promptBytes(): number {
    return this.#mostBytes('Prompt');
  }

  /** Whether the caller is told. */
  get isNotified(): boolean {
    return this.#policies.some(({ policy }) => policy.notifyHeader);
  }

  /** Undefined: the prompt cannot be read. */
  takePrompt(texts: CollectedTexts | undefined): void {
    this.#prompt = texts ?? 'unreadable';
  }

  /** Returns what was collected. `isComplete`: the client got the whole answer. */
  finish(isComplete: boolean): UnredactedContent {
    const { answer } = this;
    const response = answer && (answer.end(isComplete) ?? answer.fault);
    return new CollectedContent(this.#policies, { prompt: this.#prompt, response });
  }

  #mostBytes(part: 'Prompt' | 'Response'): number {
    const keeping = this.#policies.filter(({ policy }) => policy.content.includes(part));
    return Math.max(0, ...keeping.map(({ policy }) => policy.maxBytes));
  }
}

/** The texts of one request that are to be redacted. */
export interface UnredactedTexts {
  readonly prompt: CollectedTexts | ContentDropReason | undefined;
  readonly response: CollectedTexts | ContentDropReason | undefined;
}

/** Private members, so that nothing that shows a record can show the text. */
export class CollectedContent implements UnredactedContent {
  readonly #policies: readonly CompiledContentPolicy[];
  readonly #texts: UnredactedTexts;

  constructor(policies: readonly CompiledContentPolicy[], texts: UnredactedTexts) {
    this.#policies = policies;
    this.#texts = texts;
  }

  get policies(): readonly ContentPolicy[] {
    return this.#policies.map(({ policy }) => policy);
  }

  redact(): readonly RecordedContent[] {
    return this.#policies.map((each) => kept(each, this.#texts));
  }

  transfer(): UnredactedTexts {
    return this.#texts;
  }
}

function kept({ policy, redact }: CompiledContentPolicy, { prompt, response }: UnredactedTexts): RecordedContent {
  const { name, destinations, content, maxBytes } = policy;
  const redactor = new Redactor(redact);
  const drops: ContentDropReason[] = [];
  const part = (
    texts: CollectedTexts | ContentDropReason | undefined,
    keeps: 'first' | 'last',
  ): RecordedPart | undefined => {
    if (typeof texts === 'string') {
      drops.push(texts);
      return undefined;
    }
    try {
      return texts && redactor.redact(texts, maxBytes, keeps);
    } catch {
      // The error may quote the text.
      drops.push('redaction');
      return undefined;
    }
  };
  return {
    policy: name,
    destinations,
    prompt: content.includes('Prompt') ? part(prompt, 'last') : undefined,
    response: content.includes('Response') ? part(response, 'first') : undefined,
    drops,
  };
}
