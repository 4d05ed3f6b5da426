/** Anthropic's messages API as the provider's side of conversions. */
import { messages } from '../../providers/anthropic/messages.ts';
import { thinksByDefault } from '../../providers/reasoning.ts';
import type { ConversionProvider } from '../conversion.ts';
import { readErrorObject } from '../failures.ts';
import { MessagesDecoder } from './decoder.ts';
import { encodeMessages } from './encoder.ts';

export const anthropicProvider: ConversionProvider = {
  hidesOutput: ({ reasoning }, model) => (reasoning === undefined ? thinksByDefault(model) : reasoning.type !== 'off'),
  encode: encodeMessages,
  meters: (request, options) => messages.response!(request, options),
  newDecoder: () => new MessagesDecoder(),
  readError: readErrorObject,
};
