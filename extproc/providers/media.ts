/**
 * Rough counts of what images, sound and files cost, for holds: the provider's `usage` settles the true number. A request with any of them counts as
 * not bounded beforehand.
 */

/** OpenAI, "Images and vision": a large image at high detail is 85 + 8 tiles × 170 tokens; at low detail 85. Models priced by patches take up to 1,536. */
export const OPENAI_IMAGE_TOKENS = 1_536;
export const OPENAI_LOW_DETAIL_IMAGE_TOKENS = 85;

/** Anthropic, "Vision": width × height ÷ 750, and images are made smaller until they have about 1,600 tokens. */
export const ANTHROPIC_IMAGE_TOKENS = 1_600;

/** Sound at 10 tokens a second (OpenAI, "Audio"); MP3 speech of 32 kbit/s in base64 is 5.3 KB a second. */
const AUDIO_BYTES_PER_TOKEN = 533;

/** A page of a PDF is 1,500 to 3,000 tokens of text (Anthropic, "PDF support") and an image, and some 100 KB in base64. */
const FILE_BYTES_PER_TOKEN = 24;

/** A kind of content that we do not know. */
export const UNKNOWN_PART_TOKENS = 1_600;

export function audioTokens(base64Bytes: number): number {
  return Math.ceil(base64Bytes / AUDIO_BYTES_PER_TOKEN);
}

export function fileTokens(base64Bytes: number): number {
  return Math.ceil(base64Bytes / FILE_BYTES_PER_TOKEN);
}
