/** `POST /v1/embeddings`: https://platform.openai.com/docs/api-reference/embeddings */

import type { Failure } from '../../errors.ts';
import type { ScannedBody } from '../../json/scanner.ts';
import type { Shape } from '../../json/shape.ts';
import type { ClientApi, RequestFacts } from '../adapter.ts';
import { editModel } from '../edits.ts';
import { BodyFields } from '../request.ts';
import { responseAdapter } from '../response-adapter.ts';
import { below, unaryReader } from '../unary.ts';
import { OPENAI_USAGE_SHAPE, openAiUsage } from '../usage.ts';
import { ChoiceStreamReader } from './choice-stream-reader.ts';
import { ChoiceStreamWriter } from './choice-stream-writer.ts';
import { openAiDialect } from './errors.ts';

const shape: Shape = {
  object: {
    model: { value: true },
    input: { text: true, items: { text: true, items: {} } },
  },
};

const documentShape: Shape = { object: { model: { value: true }, usage: OPENAI_USAGE_SHAPE } };

/** Marks around a text, for models that add them. */
const INPUT_TOKENS = 4;

function readRequest(body: ScannedBody): RequestFacts | Failure {
  const fields = new BodyFields(body);
  const model = fields.model();
  if (fields.problem !== undefined) {
    return fields.problem;
  }
  const inputs = Math.max(1, body.count('input[]', 'string') + body.count('input[]', 'array'));
  return {
    model,
    stream: false,
    choices: 1,
    leastOutputTokens: 0,
    hasOutput: false,
    hiddenOutput: false,
    usageAsked: false,
    textBytes: body.textBytes,
    overheadTokens: INPUT_TOKENS * inputs,
    mediaTokens: 0,
    givenTokens: body.count('input[]', 'number') + body.count('input[][]', 'number'),
    unbounded: [],
  };
}

export const embeddings: ClientApi = {
  method: 'POST',
  path: '/v1/embeddings',
  name: 'embeddings',
  operation: 'embeddings',
  providerApis: ['OpenAI', 'AzureOpenAI'],
  dialect: openAiDialect,
  kind: 'metered',
  shape,
  readRequest,
  edit: editModel,
  response: (request, options) =>
    responseAdapter({
      unary: () =>
        unaryReader({ shape: documentShape, model: 'model', usage: (numbers) => openAiUsage(below(numbers, 'usage')) }),
      reader: () => new ChoiceStreamReader(options),
      writer: () => new ChoiceStreamWriter('completion', request, options),
    }),
};
