/** The content of one request that policies keep: collected once, redacted for each policy. */
import type { RecordedContent, RecordedPart } from '../record.ts';
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

  /** Returns what leaves the gateway, by policy. `isComplete`: the client got the whole answer. */
  finish(isComplete: boolean): readonly RecordedContent[] {
    const { answer } = this;
    const response = answer && (answer.end(isComplete) ?? answer.fault);
    return this.#policies.map((each) => kept(each, this.#prompt, response));
  }

  #mostBytes(part: 'Prompt' | 'Response'): number {
    const keeping = this.#policies.filter(({ policy }) => policy.content.includes(part));
    return Math.max(0, ...keeping.map(({ policy }) => policy.maxBytes));
  }
}

function kept(
  { policy, redact }: CompiledContentPolicy,
  prompt: CollectedTexts | ContentDropReason | undefined,
  response: CollectedTexts | ContentDropReason | undefined,
): RecordedContent {
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
