/** `POST /v1/moderations`: https://platform.openai.com/docs/api-reference/moderations */
import type { ClientApi } from '../adapter.ts';
import { editModel } from '../edits.ts';
import { BodyFields, present } from '../request.ts';
import { openAiDialect } from './errors.ts';

/** Clients seldom name a model. */
const DEFAULT_MODEL = 'omni-moderation-latest';

export const moderations: ClientApi = {
  method: 'POST',
  path: '/v1/moderations',
  name: 'moderations',
  operation: 'moderation',
  providerApis: ['OpenAI'],
  dialect: openAiDialect,
  kind: 'free',
  shape: { object: { model: { value: true }, input: {} } },
  readRequest(body) {
    const fields = new BodyFields(body);
    const model = present(body.one('model')) === undefined ? DEFAULT_MODEL : fields.model();
    return (
      fields.problem ?? {
        model,
        stream: false,
        choices: 1,
        leastOutputTokens: 0,
        hasOutput: false,
        hiddenOutput: false,
        usageAsked: false,
        textBytes: 0,
        overheadTokens: 0,
        mediaTokens: 0,
        givenTokens: 0,
        unbounded: [],
      }
    );
  },
  edit: editModel,
};
