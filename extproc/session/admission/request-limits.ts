/** Checks the limits of one request; counts the prompt where its bytes do not decide. */
import { failure } from '../../errors.ts';
import type { EventOf } from '../protocol.ts';
import { promptTooLong } from '../replies.ts';
import type { AdmissionStep, AdmissionWait } from './admission.ts';
import { countPrompt, stopCount } from './count-prompt.ts';

export const requestLimits: AdmissionStep = {
  name: 'requestLimits',
  run({ prepared }, _nowMs, out) {
    if (prepared === undefined) {
      return 'next';
    }
    const { choice, plan, input } = prepared;
    const { inputTokens, outputTokens } = choice.rule.rule.requestLimits;
    const asked = choice.facts.askedOutputTokens;
    if (outputTokens !== undefined && asked !== undefined && asked > outputTokens) {
      return failure(
        'output_tokens_exceeded',
        `The request asks for ${asked} output tokens, and the limit is ${outputTokens}. Ask for less.`,
      );
    }
    if (inputTokens === undefined || plan.inputTokens <= inputTokens) {
      return 'next';
    }
    if (input.likelyLeast > inputTokens) {
      return promptTooLong(inputTokens);
    }
    countPrompt(prepared, inputTokens, out);
    return countWait;
  },
};

const countWait: AdmissionWait<EventOf<'counted'>> = {
  event: 'counted',
  cancel: stopCount,
  resume({ prepared }, { tokens }) {
    const { choice, input } = prepared!;
    input.counted(tokens);
    const limit = choice.rule.rule.requestLimits.inputTokens!;
    return input.likelyLeast > limit ? promptTooLong(limit) : 'next';
  },
};
