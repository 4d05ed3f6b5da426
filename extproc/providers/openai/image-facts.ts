/**
 * Reads what image requests ask for, in JSON or in forms:
 * https://platform.openai.com/docs/api-reference/images
 */
import type { Failure } from '../../errors.ts';
import type { Shape } from '../../json/shape.ts';
import { textUsage, type Usage } from '../../usage.ts';
import type { RequestFacts, ResponseAdapter } from '../adapter.ts';
import type { BodyFields } from '../request.ts';
import { responseAdapter } from '../response-adapter.ts';
import { below, unaryReader } from '../unary.ts';
import { OPENAI_USAGE_SHAPE, openAiUsage, type UsageNumbers } from '../usage.ts';
import { type MediaStreamForm, MediaStreamReader, MediaStreamWriter, mediaEventShape } from './media-stream.ts';

/** OpenAI, "Image generation": tokens of the largest image of each quality; `auto` may be high. */
const qualityTokens: ReadonlyMap<string, number> = new Map([
  ['low', 408],
  ['medium', 1_584],
  ['standard', 1_584],
]);
const HIGH_QUALITY_TOKENS = 6_240;

/** A partial image of a stream. */
const PARTIAL_IMAGE_TOKENS = 100;

const MAX_IMAGES = 100;
const MAX_PARTIAL_IMAGES = 16;

/** Marks around the prompt. */
const PROMPT_TOKENS = 32;

interface ImageInput {
  readonly textBytes: number;
  /** An estimate for images in the request. */
  readonly mediaTokens: number;
}

/** Images cannot be bounded, so a request holds all that its images may cost. */
export function imageFacts(fields: BodyFields, { textBytes, mediaTokens }: ImageInput): RequestFacts | Failure {
  const model = fields.model();
  const images = fields.count('n', 1, MAX_IMAGES) ?? 1;
  const partial = fields.count('partial_images', 0, MAX_PARTIAL_IMAGES) ?? 0;
  const stream = fields.flag('stream');
  const quality = fields.text('quality') ?? 'auto';
  if (fields.problem !== undefined) {
    return fields.problem;
  }
  const tokens = (qualityTokens.get(quality) ?? HIGH_QUALITY_TOKENS) + partial * PARTIAL_IMAGE_TOKENS;
  return {
    model,
    stream,
    choices: images,
    askedOutputTokens: tokens,
    leastOutputTokens: tokens,
    hasOutput: true,
    // A stream must not end before its image.
    hiddenOutput: stream,
    usageAsked: false,
    textBytes,
    overheadTokens: PROMPT_TOKENS,
    mediaTokens,
    givenTokens: 0,
    unbounded: [],
    priceUnits: images,
  };
}

const documentShape: Shape = { object: { usage: OPENAI_USAGE_SHAPE, data: { items: {} } } };

const form: MediaStreamForm = { usageShape: OPENAI_USAGE_SHAPE, usage: imageUsage };
const eventShape = mediaEventShape(form);

export function imageResponse({ askedOutputTokens = 0, choices }: RequestFacts): ResponseAdapter {
  return responseAdapter({
    unary: () =>
      unaryReader({
        shape: documentShape,
        // Models that are priced by the image report no tokens.
        usage: (numbers) => imageUsage(below(numbers, 'usage')) ?? textUsage(0, choices * askedOutputTokens),
        priceUnits: (_numbers, document) => document.count('data[]') || undefined,
      }),
    reader: () => new MediaStreamReader(form, eventShape),
    writer: () => new MediaStreamWriter(),
  });
}

/** Output is images unless the provider says otherwise. */
function imageUsage(numbers: UsageNumbers): Usage | undefined {
  const usage = openAiUsage(numbers);
  const isTold = numbers.get('output_tokens_details.image_tokens') !== undefined;
  return usage === undefined || isTold ? usage : { ...usage, reasoningOutput: 0, imageOutput: usage.output };
}
