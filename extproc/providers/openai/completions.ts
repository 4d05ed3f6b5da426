/** `POST /v1/completions`: https://platform.openai.com/docs/api-reference/completions */

import type { Failure } from '../../errors.ts';
import type { ScannedBody } from '../../json/scanner.ts';
import type { Shape } from '../../json/shape.ts';
import type { Splice } from '../../json/splice.ts';
import type { ClientApi, RequestEdits, RequestFacts } from '../adapter.ts';
import { BodyEdits } from '../edits.ts';
import { hidesReasoning } from '../reasoning.ts';
import { BodyFields, invalid, MAX_CHOICES } from '../request.ts';
import { responseAdapter } from '../response-adapter.ts';
import { choiceDocument } from './choice-document.ts';
import { ChoiceStreamReader } from './choice-stream-reader.ts';
import { ChoiceStreamWriter } from './choice-stream-writer.ts';
import { openAiDialect } from './errors.ts';

const VALUE: Shape = { value: true };

/** `prompt` is a text, a list of texts, a list of token ids, or a list of such lists. */
const shape: Shape = {
  object: {
    model: VALUE,
    stream: VALUE,
    n: VALUE,
    best_of: VALUE,
    max_tokens: VALUE,
    stream_options: { value: true, object: { include_usage: VALUE } },
    prompt: { text: true, items: { text: true, items: {} } },
    suffix: { text: true },
  },
};

/** Begin of text, and the marks around a suffix. */
const PROMPT_TOKENS = 8;

/** Every prompt has its own choices; OpenAI accepts far fewer prompts than this. */
const MAX_CHOICES_OF_PROMPTS = 4_096;

function readRequest(body: ScannedBody): RequestFacts | Failure {
  const fields = new BodyFields(body);
  const model = fields.model();
  const stream = fields.flag('stream');
  const shown = fields.count('n', 1, MAX_CHOICES) ?? 1;
  const made = fields.count('best_of', 1, MAX_CHOICES) ?? shown;
  const asked = fields.bound('max_tokens', 0);
  const usageAsked = fields.flag('stream_options.include_usage');
  if (fields.problem !== undefined) {
    return fields.problem;
  }
  const prompts = Math.max(1, body.count('prompt[]', 'string') + body.count('prompt[]', 'array'));
  const choices = prompts * Math.max(shown, made);
  if (choices > MAX_CHOICES_OF_PROMPTS) {
    return invalid('prompt', `asks for more than ${MAX_CHOICES_OF_PROMPTS} choices at once`);
  }
  return {
    model,
    stream,
    choices,
    ...(made > shown ? { shownChoices: prompts * shown } : {}),
    ...(asked === undefined ? {} : { askedOutputTokens: asked }),
    leastOutputTokens: asked === 0 ? 0 : 1,
    hasOutput: true,
    // Discarded candidates of `best_of` are billed and never returned.
    hiddenOutput: made > shown || hidesReasoning(model),
    usageAsked,
    textBytes: body.textBytes,
    overheadTokens: PROMPT_TOKENS * prompts,
    mediaTokens: 0,
    givenTokens: body.count('prompt[]', 'number') + body.count('prompt[][]', 'number'),
    unbounded: [],
  };
}

function edit(body: ScannedBody, edits: RequestEdits): readonly Splice[] {
  const changes = new BodyEdits(body);
  if (edits.model !== undefined) {
    changes.set('model', edits.model);
  }
  if (edits.outputTokens !== undefined) {
    changes.set('max_tokens', edits.outputTokens);
  }
  if (edits.askUsage === true) {
    changes.setNested('stream_options', { include_usage: true });
  }
  return changes.splices();
}

export const completions: ClientApi = {
  method: 'POST',
  path: '/v1/completions',
  name: 'completions',
  operation: 'text_completion',
  providerApis: ['OpenAI', 'HuggingFaceTGI', 'AzureOpenAI'],
  dialect: openAiDialect,
  kind: 'metered',
  shape,
  readRequest,
  edit,
  hidesOutput: (model) => hidesReasoning(model),
  response: (request, options) =>
    responseAdapter({
      unary: () => choiceDocument(options),
      reader: () => new ChoiceStreamReader(options),
      writer: () => new ChoiceStreamWriter('completion', request, options),
    }),
};
