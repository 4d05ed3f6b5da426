/** `POST /v1/images/edits`: https://platform.openai.com/docs/api-reference/images/createEdit */
import type { ClientApi } from '../adapter.ts';
import { editFormModel } from '../edits.ts';
import { OPENAI_IMAGE_TOKENS } from '../media.ts';
import { BodyFields } from '../request.ts';
import { openAiDialect } from './errors.ts';
import { imageFacts, imageResponse } from './image-facts.ts';

export const imageEdits: ClientApi = {
  method: 'POST',
  path: '/v1/images/edits',
  name: 'images',
  operation: 'image_generation',
  providerApis: ['OpenAI', 'AzureOpenAI'],
  dialect: openAiDialect,
  kind: 'metered',
  shape: {},
  form: {
    model: 'value',
    prompt: 'text',
    n: 'number',
    quality: 'value',
    partial_images: 'number',
    stream: 'flag',
    image: 'file',
    'image[]': 'file',
    mask: 'file',
  },
  readRequest(body) {
    const images = body.count('image') + body.count('image[]') + body.count('mask');
    return imageFacts(new BodyFields(body), {
      textBytes: body.textBytes,
      mediaTokens: images * OPENAI_IMAGE_TOKENS,
    });
  },
  edit: editFormModel,
  response: imageResponse,
};
