/** Which API a model of a backend speaks. */
import type { ProviderApi } from '../contract/policy.ts';

/**
 * Backends of most schemas speak one API. On Vertex AI, Claude speaks Anthropic's messages API, and
 * not that of the other models.
 */
export type ModelApi = ProviderApi | 'AnthropicOnVertex';

/** `model` is the name at the backend. Google names all models of Anthropic `claude…`. */
export function modelApi(schema: ProviderApi, model: string): ModelApi {
  return schema === 'GCPVertexAI' && model.startsWith('claude') ? 'AnthropicOnVertex' : schema;
}
