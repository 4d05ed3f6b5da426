/**
 * The chunks that end a stream of choices early: a finish for each open choice, the usage where the
 * client asked for it, `[DONE]`.
 */
import type { Usage } from '../../usage.ts';
import type { ChoiceForm, ChunkHead } from './chunk.ts';

export interface ClosingState {
  readonly form: ChoiceForm;
  readonly head: ChunkHead;
  /** For a stream that ends before its first chunk. */
  readonly model: string;
  readonly open: readonly number[];
  readonly begun: ReadonlySet<number>;
  readonly usage: Usage | undefined;
}

export function closingChunks({ form, head, model, open, begun, usage }: ClosingState): Uint8Array {
  const before = chunkStart(form, head, model);
  const chunks = open.map(
    (choice) => `data: ${before}"choices":[${closingChoice(form, choice, begun.has(choice))}]}\n\n`,
  );
  if (usage !== undefined) {
    chunks.push(`data: ${before}"choices":[],"usage":${JSON.stringify(usageBody(usage))}}\n\n`);
  }
  chunks.push('data: [DONE]\n\n');
  return Buffer.from(chunks.join(''));
}

function chunkStart(form: ChoiceForm, head: ChunkHead, model: string): string {
  const prefix = form === 'chat' ? 'chatcmpl' : 'cmpl';
  const id = rewritten(head.id) ?? `"${prefix}-tallygate"`;
  const object = form === 'chat' ? 'chat.completion.chunk' : 'text_completion';
  const fingerprint = rewritten(head.systemFingerprint);
  return (
    `{"id":${id},"object":"${object}","created":${rewritten(head.created) ?? 0},"model":${rewritten(head.model) ?? JSON.stringify(model)},` +
    (fingerprint === undefined ? '' : `"system_fingerprint":${fingerprint},`)
  );
}

function closingChoice(form: ChoiceForm, index: number, begun: boolean): string {
  if (form === 'completion') {
    return `{"text":"","index":${index},"logprobs":null,"finish_reason":"length"}`;
  }
  const delta = begun ? '{}' : '{"role":"assistant","content":""}';
  return `{"index":${index},"delta":${delta},"logprobs":null,"finish_reason":"length"}`;
}

/** Rewrites a value of the provider, whose bytes were never checked to be JSON. */
function rewritten(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) {
    return undefined;
  }
  try {
    return JSON.stringify(JSON.parse(Buffer.from(bytes).toString()));
  } catch {
    return undefined;
  }
}

function usageBody(usage: Usage): object {
  return {
    prompt_tokens: usage.input,
    completion_tokens: usage.output,
    total_tokens: usage.input + usage.output,
    prompt_tokens_details: { cached_tokens: usage.cachedInput, audio_tokens: usage.audioInput },
    completion_tokens_details: { reasoning_tokens: usage.reasoningOutput, audio_tokens: usage.audioOutput },
  };
}
