/** OpenAI's chat completions, also of TGI, as the provider's side of conversions. */
import { chat } from '../../providers/openai/chat.ts';
import { hidesReasoning } from '../../providers/reasoning.ts';
import type { ConversionProvider } from '../conversion.ts';
import { readErrorObject } from '../failures.ts';
import { ChatDecoder } from './decoder.ts';
import { encodeChat } from './encoder.ts';

export const openAiProvider: ConversionProvider = {
  hidesOutput: (_conversation, model) => hidesReasoning(model),
  encode: encodeChat,
  meters: (request, options) => chat.response!(request, options),
  newDecoder: () => new ChatDecoder(),
  readError: readErrorObject,
};
