/**
 * `POST /v1/audio/transcriptions` and `/v1/audio/translations`:
 * https://platform.openai.com/docs/api-reference/audio/createTranscription
 */
import type { Failure } from '../../errors.ts';
import type { ScannedBody } from '../../json/scanner.ts';
import type { Shape } from '../../json/shape.ts';
import type { TextSink } from '../../json/text-sink.ts';
import { textUsage, type Usage } from '../../usage.ts';
import type { ClientApi, RequestFacts, UnaryReader } from '../adapter.ts';
import { editFormModel } from '../edits.ts';
import { AUDIO_TOKENS_PER_SECOND, audioFileTokens } from '../media.ts';
import { BodyFields, byteLength } from '../request.ts';
import { responseAdapter } from '../response-adapter.ts';
import { below, unaryReader } from '../unary.ts';
import { OPENAI_USAGE_SHAPE, openAiUsage, type UsageNumbers } from '../usage.ts';
import { openAiDialect } from './errors.ts';
import { type MediaStreamForm, MediaStreamReader, MediaStreamWriter, mediaEventShape } from './media-stream.ts';

/** Marks around the prompt. */
const PROMPT_TOKENS = 16;

/** Speech has about a third as many tokens of text as of audio. */
const LEAST_OUTPUT_TOKENS = 64;

const VALUE: Shape = { value: true };

const usageShape: Shape = {
  object: {
    ...OPENAI_USAGE_SHAPE.object,
    input_token_details: { object: { audio_tokens: VALUE } },
    seconds: VALUE,
  },
};
const documentShape: Shape = { object: { text: { text: true }, usage: usageShape } };

const form: MediaStreamForm = { usageShape, usage: transcriptUsage };
const eventShape = mediaEventShape(form);

function readRequest(body: ScannedBody): RequestFacts | Failure {
  const fields = new BodyFields(body);
  const model = fields.model();
  const stream = fields.flag('stream');
  if (fields.problem !== undefined) {
    return fields.problem;
  }
  const mediaTokens = body.all('file').reduce((sum, file) => sum + audioFileTokens(byteLength(file)), 0);
  const tokens = Math.max(LEAST_OUTPUT_TOKENS, mediaTokens);
  return {
    model,
    stream,
    choices: 1,
    askedOutputTokens: tokens,
    leastOutputTokens: tokens,
    hasOutput: true,
    // A stream must not end before its last word.
    hiddenOutput: stream,
    usageAsked: false,
    textBytes: body.textBytes,
    overheadTokens: PROMPT_TOKENS,
    mediaTokens,
    givenTokens: 0,
    unbounded: [],
  };
}

/** Whisper reports the duration of its audio instead of tokens. */
function transcriptUsage(numbers: UsageNumbers): Usage | undefined {
  const seconds = numbers.get('seconds');
  if (seconds !== undefined) {
    const input = seconds * AUDIO_TOKENS_PER_SECOND;
    return { ...textUsage(input, 0), audioInput: input };
  }
  const usage = openAiUsage(numbers);
  return usage && { ...usage, audioInput: numbers.get('input_token_details.audio_tokens') ?? 0 };
}

const BRACE = 0x7b;
const SPACE = 0x20;

/** Reads a transcript in JSON, or in one of the formats of text, which have no usage. */
class TranscriptReader implements UnaryReader {
  readonly serviceTier = undefined;
  #json: UnaryReader | undefined;
  #isText = false;

  push(bytes: Uint8Array, sink: TextSink): void {
    const first = bytes.find((byte) => byte > SPACE);
    if (this.#json === undefined && !this.#isText && first !== undefined) {
      this.#isText = first !== BRACE;
      this.#json = this.#isText
        ? undefined
        : unaryReader({ shape: documentShape, usage: (numbers) => transcriptUsage(below(numbers, 'usage')) });
    }
    if (this.#isText) {
      sink.text(0, bytes, 0, bytes.length);
    } else {
      this.#json?.push(bytes, sink);
    }
  }

  release(): void {
    this.#json?.release();
  }

  get usage(): Usage | undefined {
    return this.#json?.usage;
  }

  get responseModel(): string | undefined {
    return this.#json?.responseModel;
  }

  get broken(): boolean {
    return this.#json?.broken === true;
  }
}

export const transcripts: readonly ClientApi[] = ['transcriptions', 'translations'].map((name) => ({
  method: 'POST',
  path: `/v1/audio/${name}`,
  name: 'audio',
  operation: 'transcription',
  providerApis: ['OpenAI', 'AzureOpenAI'],
  dialect: openAiDialect,
  kind: 'metered',
  shape: {},
  form: { model: 'value', prompt: 'text', stream: 'flag', file: 'file' },
  readRequest,
  edit: editFormModel,
  response: () =>
    responseAdapter({
      unary: () => new TranscriptReader(),
      reader: () => new MediaStreamReader(form, eventShape),
      writer: () => new MediaStreamWriter(),
      anyBytes: true,
      plainText: true,
    }),
}));
