/** Unary responses of chat completions and completions. */
import type { Shape } from '../../json/shape.ts';
import type { UnaryReader } from '../adapter.ts';
import { below, unaryReader } from '../unary.ts';
import { OPENAI_USAGE_SHAPE, openAiUsage } from '../usage.ts';

const TEXT: Shape = { text: true };
const FUNCTION: Shape = { object: { name: TEXT, arguments: TEXT, input: TEXT } };
const PART: Shape = { object: { text: TEXT, thinking: { text: true, items: { object: { text: TEXT } } } } };

export const MESSAGE_SHAPE: Shape = {
  object: {
    content: { text: true, items: PART },
    refusal: TEXT,
    reasoning_content: TEXT,
    reasoning: TEXT,
    tool_calls: { items: { object: { function: FUNCTION, custom: FUNCTION } } },
    function_call: FUNCTION,
    audio: { object: { transcript: TEXT } },
  },
};

const shape: Shape = {
  object: {
    id: { value: true },
    model: { value: true },
    service_tier: { value: true },
    usage: OPENAI_USAGE_SHAPE,
    choices: {
      items: {
        object: {
          text: TEXT,
          message: MESSAGE_SHAPE,
          finish_reason: { value: true },
        },
      },
    },
  },
};

export function choiceDocument(): UnaryReader {
  return unaryReader({
    shape,
    id: 'id',
    finishReason: 'choices[].finish_reason',
    model: 'model',
    serviceTier: 'service_tier',
    usage: (numbers) => openAiUsage(below(numbers, 'usage')),
  });
}
