/** How a wish for reasoning is expressed for a Gemini model. */

import { hasMediumLevel, modelSize, thinkingControl, thinks } from '../../providers/gemini/models.ts';
import type { JsonRecord, ReasoningEffort, ReasoningWish } from '../conversation.ts';
import type { Losses } from '../losses.ts';

/** Returns `thinkingConfig` for a bound on the output, which includes the thinking. */
export type ThinkingWithin = (maxTokens: number) => JsonRecord | undefined;

type AmountOfReasoning = Exclude<ReasoningWish, { type: 'off' } | { type: 'adaptive' }>;

const NOTHING: ThinkingWithin = () => undefined;

/** What Gemini's own OpenAI API takes for an effort. */
const budgets: Readonly<Record<ReasoningEffort, number>> = {
  minimal: 512,
  low: 1_024,
  medium: 8_192,
  high: 24_576,
  xhigh: 32_768,
  max: 32_768,
};

/** Generation 2.5; of the sizes, only pro always thinks. */
const budgetLimits = {
  pro: { least: 128, most: 32_768 },
  flash: { least: 1, most: 24_576 },
  'flash-lite': { least: 512, most: 24_576 },
} as const;

export function thinkingWithin(wish: ReasoningWish | undefined, model: string, losses: Losses): ThinkingWithin {
  if (wish === undefined) {
    return NOTHING;
  }
  const control = thinkingControl(model);
  if (control === 'none') {
    if (wish.type !== 'off') {
      losses.hintOption('reasoning');
    }
    return NOTHING;
  }
  if (wish.type === 'off') {
    return leastThinking(model, losses);
  }
  if (wish.type === 'adaptive') {
    return () => ({ includeThoughts: true, ...(control === 'budget' && { thinkingBudget: -1 }) });
  }
  if (control === 'level') {
    const thinkingLevel = levelOf(wish, model);
    return () => ({ includeThoughts: true, thinkingLevel });
  }
  const { least, most } = budgetLimits[modelSize(model)];
  const wanted = wish.type === 'budget' ? wish.tokens : budgets[wish.effort];
  return (maxTokens) => {
    // Half of the output at most, so that the answer has room.
    const room = Math.min(most, Math.floor(maxTokens / 2));
    return { includeThoughts: true, thinkingBudget: Math.max(least, Math.min(wanted, room)) };
  };
}

/** Turns the thinking off, or down where the model always thinks. */
function leastThinking(model: string, losses: Losses): ThinkingWithin {
  if (!thinks(model, true)) {
    return () => ({ thinkingBudget: 0 });
  }
  losses.hintOption('reasoning');
  if (thinkingControl(model) === 'budget') {
    return () => ({ thinkingBudget: budgetLimits.pro.least });
  }
  const thinkingLevel = levelOf({ type: 'effort', effort: 'minimal' }, model);
  return () => ({ thinkingLevel });
}

function levelOf(wish: AmountOfReasoning, model: string): string {
  const medium = hasMediumLevel(model) ? 'medium' : 'high';
  if (wish.type === 'budget') {
    return wish.tokens <= budgets.low ? 'low' : wish.tokens <= budgets.medium ? medium : 'high';
  }
  switch (wish.effort) {
    case 'minimal':
      return modelSize(model) === 'pro' ? 'low' : 'minimal';
    case 'low':
      return 'low';
    case 'medium':
      return medium;
    default:
      return 'high';
  }
}
