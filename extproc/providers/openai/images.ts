/** `POST /v1/images/generations`: https://platform.openai.com/docs/api-reference/images/create */
import type { ClientApi } from '../adapter.ts';
import { editModel } from '../edits.ts';
import { BodyFields } from '../request.ts';
import { openAiDialect } from './errors.ts';
import { imageFacts, imageResponse } from './image-facts.ts';

export const imageGenerations: ClientApi = {
  method: 'POST',
  path: '/v1/images/generations',
  name: 'images',
  operation: 'image_generation',
  providerApis: ['OpenAI', 'AzureOpenAI'],
  dialect: openAiDialect,
  kind: 'metered',
  shape: {
    object: {
      model: { value: true },
      prompt: { text: true },
      n: { value: true },
      quality: { value: true },
      partial_images: { value: true },
      stream: { value: true },
    },
  },
  readRequest: (body) => imageFacts(new BodyFields(body), { textBytes: body.textBytes, mediaTokens: 0 }),
  edit: editModel,
  response: imageResponse,
};
