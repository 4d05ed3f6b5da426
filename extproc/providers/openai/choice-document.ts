/** Unary responses of chat completions and completions. */
import type { Shape } from '../../json/shape.ts';
import type { ResponseOptions, UnaryReader } from '../adapter.ts';
import { below, unaryReader } from '../unary.ts';
import { OPENAI_USAGE_SHAPE, openAiUsage } from '../usage.ts';

const VALUE: Shape = { value: true };
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

const CHOICE = { text: TEXT, message: MESSAGE_SHAPE };

const shape: Shape = {
  object: {
    model: VALUE,
    service_tier: VALUE,
    usage: OPENAI_USAGE_SHAPE,
    choices: { items: { object: CHOICE } },
  },
};

const tracedShape: Shape = {
  object: {
    ...shape.object,
    id: VALUE,
    choices: { items: { object: { ...CHOICE, finish_reason: VALUE } } },
  },
};

export function choiceDocument(options: ResponseOptions): UnaryReader {
  return unaryReader(
    {
      shape,
      tracedShape,
      id: 'id',
      finishReason: 'choices[].finish_reason',
      model: 'model',
      serviceTier: 'service_tier',
      usage: (numbers) => openAiUsage(below(numbers, 'usage')),
    },
    options,
  );
}
