/** Bedrock's Converse and ConverseStream as the provider's side of conversions. */
import { thinksByDefault } from '../../providers/reasoning.ts';
import type { ConversionProvider } from '../conversion.ts';
import { ConverseDecoder } from './decoder.ts';
import { encodeConverse } from './encoder.ts';
import { readConverseError } from './errors.ts';
import { dataOfMessage } from './event-message.ts';

export const bedrockProvider: ConversionProvider = {
  hidesOutput: ({ reasoning }, model) => (reasoning === undefined ? thinksByDefault(model) : reasoning.type !== 'off'),
  framing: 'aws-event-stream',
  eventData: dataOfMessage,
  encode: encodeConverse,
  newDecoder: () => new ConverseDecoder(),
  readError: readConverseError,
};
