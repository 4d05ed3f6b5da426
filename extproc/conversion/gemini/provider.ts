/** Gemini's generateContent, also on Vertex AI, as the provider's side of conversions. */
import { thinks } from '../../providers/gemini/models.ts';
import type { ConversionProvider } from '../conversion.ts';
import { GeminiDecoder, readGeminiError } from './decoder.ts';
import { encodeGenerateContent } from './encoder.ts';

export const geminiProvider: ConversionProvider = {
  hidesOutput: ({ reasoning }, model) => thinks(model, reasoning?.type === 'off'),
  encode: encodeGenerateContent,
  newDecoder: () => new GeminiDecoder(),
  readError: readGeminiError,
};
