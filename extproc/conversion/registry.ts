/** All conversions: each client API that can be read, to each provider API that can be written. */
import type { ProviderApi } from '../../contract/policy.ts';
import { type ModelApi, modelApi } from '../model-api.ts';
import type { ClientApi } from '../providers/adapter.ts';
import { messages } from '../providers/anthropic/messages.ts';
import { batchEmbedEndpoints, embedContentEndpoints } from '../providers/gemini/embed-content.ts';
import { contentEndpoints } from '../providers/gemini/generate-content.ts';
import { chat } from '../providers/openai/chat.ts';
import { embeddings } from '../providers/openai/embeddings.ts';
import { rerank } from '../providers/openai/rerank.ts';
import { responses } from '../providers/openai/responses.ts';
import type { BackendApi } from '../providers/openai/server-dialects.ts';
import { anthropicProvider } from './anthropic/provider.ts';
import { vertexAnthropicProvider } from './anthropic/vertex-provider.ts';
import { bedrockProvider } from './bedrock/provider.ts';
import { chatClient } from './chat/client.ts';
import { cohereProvider } from './cohere/provider.ts';
import type { ConversionClient, ConversionProvider } from './conversion.ts';
import { ConversationConversion, type Conversion } from './converted-request.ts';
import { DocumentConversion } from './documents/document-conversion.ts';
import type { DocumentClient, DocumentProvider } from './documents/documents.ts';
import { bedrockEmbeddings } from './embeddings/bedrock.ts';
import { embeddingsClient } from './embeddings/client.ts';
import { cohereEmbeddings } from './embeddings/cohere.ts';
import { batchEmbedClient, embedContentClient } from './embeddings/content-clients.ts';
import type { EmbeddingForm, EmbeddingRequest, Embeddings } from './embeddings/embedding-request.ts';
import { geminiEmbeddings, vertexEmbeddings } from './embeddings/gemini.ts';
import { openAiEmbeddings } from './embeddings/openai.ts';
import { geminiProvider } from './gemini/provider.ts';
import { contentClient } from './generate-content/client.ts';
import { messagesClient } from './messages/client.ts';
import { openAiProvider } from './openai/provider.ts';
import { rerankClient } from './rerank/client.ts';
import { cohereRerank } from './rerank/cohere.ts';
import type { Ranking, RerankForm, RerankRequest } from './rerank/rerank-request.ts';
import { responsesClient } from './responses/client.ts';

const clients = new Map<ClientApi, ConversionClient>([
  [chat, chatClient],
  [messages, messagesClient],
  [responses, responsesClient],
  ...contentEndpoints.map((api): [ClientApi, ConversionClient] => [api, contentClient]),
]);

const providers: Readonly<Partial<Record<ModelApi, ConversionProvider>>> = {
  Anthropic: anthropicProvider,
  OpenAI: openAiProvider,
  HuggingFaceTGI: openAiProvider,
  AzureOpenAI: openAiProvider,
  AWSBedrock: bedrockProvider,
  GoogleGemini: geminiProvider,
  GCPVertexAI: geminiProvider,
  AnthropicOnVertex: vertexAnthropicProvider,
  Cohere: cohereProvider,
};

const embeddingsProviders: Readonly<
  Partial<Record<ProviderApi, DocumentProvider<EmbeddingRequest, EmbeddingForm, Embeddings>>>
> = {
  OpenAI: openAiEmbeddings,
  AzureOpenAI: openAiEmbeddings,
  AWSBedrock: bedrockEmbeddings,
  GoogleGemini: geminiEmbeddings,
  GCPVertexAI: vertexEmbeddings,
  Cohere: cohereEmbeddings,
};

const rerankProviders: Readonly<Partial<Record<ProviderApi, DocumentProvider<RerankRequest, RerankForm, Ranking>>>> = {
  Cohere: cohereRerank,
};

const conversions = new Map<ClientApi, ReadonlyMap<ModelApi, Conversion>>([
  embedConversions(embeddings, embeddingsClient),
  ...embedContentEndpoints.map((api) => embedConversions(api, embedContentClient)),
  ...batchEmbedEndpoints.map((api) => embedConversions(api, batchEmbedClient)),
  [rerank, documentConversions(rerankClient, rerankProviders)],
]);

for (const [api, client] of clients) {
  const byProvider = new Map<ModelApi, Conversion>();
  for (const [name, provider] of Object.entries(providers) as [ModelApi, ConversionProvider][]) {
    if (!api.providerApis.includes(name) || api.isMissingAt !== undefined) {
      const schema = name === 'AnthropicOnVertex' ? 'GCPVertexAI' : name;
      byProvider.set(name, new ConversationConversion(client, provider, schema));
    }
  }
  conversions.set(api, byProvider);
}

function embedConversions(
  api: ClientApi,
  client: DocumentClient<EmbeddingRequest, EmbeddingForm, Embeddings>,
): [ClientApi, ReadonlyMap<ModelApi, Conversion>] {
  return [api, documentConversions(client, embeddingsProviders)];
}

function documentConversions<Asked, Kept, Told>(
  client: DocumentClient<Asked, Kept, Told>,
  byProvider: Readonly<Partial<Record<ProviderApi, DocumentProvider<Asked, Kept, Told>>>>,
): ReadonlyMap<ProviderApi, Conversion> {
  const entries = Object.entries(byProvider) as [ProviderApi, DocumentProvider<Asked, Kept, Told>][];
  return new Map(entries.map(([name, provider]) => [name, new DocumentConversion(client, provider, name)]));
}

/** Whether a backend serves the client API itself. `model` is the name at the backend. */
export function serves(api: ClientApi, backend: BackendApi, model: string): boolean {
  return api.providerApis.includes(modelApi(backend.schema, model)) && api.isMissingAt?.(backend, model) !== true;
}

/** Returns undefined where the backend serves the client API itself, or cannot serve it. */
export function conversionFor(api: ClientApi, backend: BackendApi, model: string): Conversion | undefined {
  return serves(api, backend, model) ? undefined : conversions.get(api)?.get(modelApi(backend.schema, model));
}
