/**
 * How a wish for reasoning is expressed for a Claude model:
 * https://platform.claude.com/docs/en/build-with-claude/thinking
 */
import type { Conversation, JsonRecord, ReasoningEffort, ReasoningWish } from '../conversation.ts';
import type { Losses } from '../losses.ts';

export interface ThinkingPlan {
  readonly on: boolean;
  readonly outputConfig: JsonRecord;
  /** Returns the member `thinking` for a bound on the output, which includes the thinking. */
  within(maxTokens: number): JsonRecord;
}

/** Models up to Claude 4.5 think within a budget; later ones decide by the effort. */
const BUDGETED =
  /claude-(?:[\d.-]+-)?(?:(?:instant|2|3)\b|(?:opus|sonnet|haiku)-4(?:-[0-5])?(?:-\d{6,8}|[@:]|-v\d|-latest|$))/;

const LEAST_BUDGET = 1_024;

const budgets: Readonly<Record<ReasoningEffort, number>> = {
  minimal: 1_024,
  low: 2_048,
  medium: 8_192,
  high: 16_384,
  xhigh: 32_768,
  max: 65_536,
};

const NO_THINKING: ThinkingPlan = { on: false, outputConfig: {}, within: () => ({}) };

export function thinkingPlan(conversation: Conversation, model: string, losses: Losses): ThinkingPlan {
  const { reasoning } = conversation;
  if (reasoning === undefined) {
    return NO_THINKING;
  }
  const budgeted = BUDGETED.test(model.toLowerCase());
  if (reasoning.type === 'off') {
    return budgeted ? NO_THINKING : { ...NO_THINKING, within: () => ({ thinking: { type: 'disabled' } }) };
  }
  const forced = conversation.toolChoice.type === 'required' || conversation.toolChoice.type === 'tool';
  if (forced || (budgeted && continuesUnsignedTurn(conversation))) {
    losses.hintOption('reasoning');
    return NO_THINKING;
  }
  if (!budgeted) {
    const effort = effortOf(reasoning);
    return {
      on: true,
      outputConfig: effort === undefined ? {} : { effort },
      within: () => ({ thinking: { type: 'adaptive' } }),
    };
  }
  const wanted = budgetOf(reasoning);
  return {
    on: true,
    outputConfig: {},
    within(maxTokens) {
      // Half of the output at most, so that the answer has room.
      const budget = Math.max(LEAST_BUDGET, Math.min(wanted, Math.floor(maxTokens / 2)));
      return budget < maxTokens ? { thinking: { type: 'enabled', budget_tokens: budget } } : {};
    },
  };
}

/**
 * Whether the conversation is between tool calls whose thinking the client has not kept. The API
 * refuses to think on from there.
 */
function continuesUnsignedTurn({ messages }: Conversation): boolean {
  if (messages.at(-1)?.parts.some(({ type }) => type === 'tool-result') !== true) {
    return false;
  }
  const turn = messages.findLast(({ role }) => role === 'assistant');
  return turn?.parts.some((part) => part.type === 'reasoning' && part.signature !== undefined) !== true;
}

function effortOf(wish: ReasoningWish): string | undefined {
  switch (wish.type) {
    case 'effort':
      return wish.effort === 'minimal' ? 'low' : wish.effort;
    case 'budget':
      return wish.tokens <= budgets.low ? 'low' : wish.tokens <= budgets.medium ? 'medium' : 'high';
    default:
      return undefined;
  }
}

function budgetOf(wish: ReasoningWish): number {
  switch (wish.type) {
    case 'effort':
      return budgets[wish.effort];
    case 'budget':
      return wish.tokens;
    default:
      return budgets.medium;
  }
}
