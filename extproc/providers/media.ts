/**
 * Rough costs of images, audio and files, for holds: the provider's `usage` settles the true
 * number. Requests with media have no upper bound.
 */

/**
 * OpenAI, "Images and vision": a large image at high detail takes 85 + 8 tiles × 170 tokens, 85 at
 * low detail. Models priced by patches take up to 1,536.
 */
export const OPENAI_IMAGE_TOKENS = 1_536;
export const OPENAI_LOW_DETAIL_IMAGE_TOKENS = 85;

/** Anthropic, "Vision": width × height ÷ 750. Images are scaled down to about 1,600 tokens. */
export const ANTHROPIC_IMAGE_TOKENS = 1_600;

/**
 * Audio at 10 tokens a second (OpenAI, "Audio"). MP3 speech of 32 kbit/s in base64 has 5.3 KB a
 * second.
 */
const AUDIO_BYTES_PER_TOKEN = 533;
/** The same without base64. */
const AUDIO_FILE_BYTES_PER_TOKEN = 400;

export const AUDIO_TOKENS_PER_SECOND = 10;

/**
 * A page of a PDF has 1,500 to 3,000 tokens of text (Anthropic, "PDF support") and an image, and
 * some 100 KB in base64.
 */
const FILE_BYTES_PER_TOKEN = 24;

/** Content of an unknown kind. */
export const UNKNOWN_PART_TOKENS = 1_600;

export function audioTokens(base64Bytes: number): number {
  return Math.ceil(base64Bytes / AUDIO_BYTES_PER_TOKEN);
}

export function audioFileTokens(bytes: number): number {
  return Math.ceil(bytes / AUDIO_FILE_BYTES_PER_TOKEN);
}

export function fileTokens(base64Bytes: number): number {
  return Math.ceil(base64Bytes / FILE_BYTES_PER_TOKEN);
}
