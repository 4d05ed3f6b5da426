/** Counts the prompt where a step of admission depends on the exact number. */
import type { Action } from '../protocol.ts';
import type { PreparedRequest } from '../request.ts';

export const stopCount: Action = { type: 'stop-count' };

/** Begins a count that stops beyond `limitTokens`; a `counted` event follows. */
export function countPrompt({ body, choice, input }: PreparedRequest, limitTokens: number, out: Action[]): void {
  input.countTo(limitTokens);
  const { tokenizer, backendModel: model } = choice;
  out.push({ type: 'count', body: body!, tokenizer, model, limitTokens });
}
