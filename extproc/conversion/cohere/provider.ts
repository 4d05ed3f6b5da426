/** Cohere's chat API (v2) as the provider's side of conversions. */
import type { ConversionProvider } from '../conversion.ts';
import { CohereDecoder } from './decoder.ts';
import { encodeCohereChat } from './encoder.ts';
import { readCohereError } from './errors.ts';

export const cohereProvider: ConversionProvider = {
  // The thinking of its models is streamed.
  hidesOutput: () => false,
  encode: encodeCohereChat,
  newDecoder: () => new CohereDecoder(),
  readError: readCohereError,
};
