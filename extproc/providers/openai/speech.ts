/** `POST /v1/audio/speech`: https://platform.openai.com/docs/api-reference/audio/createSpeech */
import type { Failure } from '../../errors.ts';
import type { ScannedBody } from '../../json/scanner.ts';
import type { Usage } from '../../usage.ts';
import type { ClientApi, RequestFacts, UnaryReader } from '../adapter.ts';
import { editModel } from '../edits.ts';
import { BodyFields, byteLength } from '../request.ts';
import { responseAdapter } from '../response-adapter.ts';
import { OPENAI_USAGE_SHAPE, openAiUsage, type UsageNumbers } from '../usage.ts';
import { audioOutputUsage } from './audio.ts';
import { openAiDialect } from './errors.ts';
import { type MediaStreamForm, MediaStreamReader, MediaStreamWriter, mediaEventShape } from './media-stream.ts';

/** OpenAI, "Pricing": a minute has some 1,250 tokens, in which some 900 characters are spoken. */
const TOKENS_PER_BYTE = 1.4;
/** Slow speech takes longer. */
const MOST_TOKENS_PER_BYTE = 2.8;

const LEAST_SPEED = 0.25;

const form: MediaStreamForm = { usageShape: OPENAI_USAGE_SHAPE, usage: speechUsage };
const eventShape = mediaEventShape(form);

function readRequest(body: ScannedBody): RequestFacts | Failure {
  const fields = new BodyFields(body);
  const model = fields.model();
  const stream = fields.text('stream_format') === 'sse';
  if (fields.problem !== undefined) {
    return fields.problem;
  }
  const most = Math.ceil(spokenBytes(body) * MOST_TOKENS_PER_BYTE);
  return {
    model,
    stream,
    choices: 1,
    askedOutputTokens: most,
    leastOutputTokens: most,
    hasOutput: true,
    // Speech must not end before its last word.
    hiddenOutput: stream,
    usageAsked: false,
    textBytes: body.textBytes,
    overheadTokens: 0,
    mediaTokens: 0,
    givenTokens: 0,
    unbounded: [],
  };
}

/** Bytes of the text, more for slower speech. */
function spokenBytes(body: ScannedBody): number {
  const input = body.one('input');
  const speed = body.one('speed')?.value;
  const times = typeof speed === 'number' && speed < 1 ? 1 / Math.max(speed, LEAST_SPEED) : 1;
  return Math.max(1, (input === undefined ? 0 : byteLength(input)) * times);
}

/** The output is audio. */
function speechUsage(numbers: UsageNumbers): Usage | undefined {
  const usage = openAiUsage(numbers);
  return usage && { ...usage, reasoningOutput: 0, audioOutput: usage.output };
}

/** Audio reports no usage: its length follows from the text. */
function audioReader(likely: number): UnaryReader {
  return {
    push() {},
    release() {},
    usage: audioOutputUsage(likely),
    responseModel: undefined,
    serviceTier: undefined,
    broken: false,
  };
}

export const speech: ClientApi = {
  method: 'POST',
  path: '/v1/audio/speech',
  name: 'audio',
  operation: 'speech',
  providerApis: ['OpenAI', 'AzureOpenAI'],
  dialect: openAiDialect,
  kind: 'metered',
  shape: {
    object: {
      model: { value: true },
      input: { value: true, text: true },
      instructions: { text: true },
      speed: { value: true },
      stream_format: { value: true },
    },
  },
  readRequest,
  edit: editModel,
  response: ({ askedOutputTokens = 0 }) =>
    responseAdapter({
      unary: () => audioReader(Math.ceil((askedOutputTokens * TOKENS_PER_BYTE) / MOST_TOKENS_PER_BYTE)),
      reader: () => new MediaStreamReader(form, eventShape),
      writer: () => new MediaStreamWriter(),
      anyBytes: true,
    }),
};
