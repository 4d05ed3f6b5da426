/** Gemini's generateContent, also on Vertex AI, as the provider's side of conversions. */
import type { ConversionProvider } from '../conversion.ts';
import { GeminiDecoder, readGeminiError } from './decoder.ts';
import { encodeGenerateContent } from './encoder.ts';
import { thinks } from './thinking.ts';

export const geminiProvider: ConversionProvider = {
  hidesOutput: ({ reasoning }, model) => thinks(reasoning, model),
  encode: encodeGenerateContent,
  newDecoder: () => new GeminiDecoder(),
  readError: readGeminiError,
};
