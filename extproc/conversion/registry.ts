/** All conversions: each client API that can be read, to each provider API that can be written. */
import type { ProviderApi } from '../../contract/policy.ts';
import type { ClientApi } from '../providers/adapter.ts';
import { messages } from '../providers/anthropic/messages.ts';
import { chat } from '../providers/openai/chat.ts';
import { responses } from '../providers/openai/responses.ts';
import { anthropicProvider } from './anthropic/provider.ts';
import { bedrockProvider } from './bedrock/provider.ts';
import { chatClient } from './chat/client.ts';
import { cohereProvider } from './cohere/provider.ts';
import type { ConversionClient, ConversionProvider } from './conversion.ts';
import { Conversion } from './converted-request.ts';
import { geminiProvider } from './gemini/provider.ts';
import { messagesClient } from './messages/client.ts';
import { openAiProvider } from './openai/provider.ts';
import { responsesClient } from './responses/client.ts';

const clients = new Map<ClientApi, ConversionClient>([
  [chat, chatClient],
  [messages, messagesClient],
  [responses, responsesClient],
]);

const providers: Readonly<Partial<Record<ProviderApi, ConversionProvider>>> = {
  Anthropic: anthropicProvider,
  OpenAI: openAiProvider,
  HuggingFaceTGI: openAiProvider,
  AzureOpenAI: openAiProvider,
  AWSBedrock: bedrockProvider,
  GoogleGemini: geminiProvider,
  GCPVertexAI: geminiProvider,
  Cohere: cohereProvider,
};

const conversions = new Map<ClientApi, Map<ProviderApi, Conversion>>();

for (const [api, client] of clients) {
  const byProvider = new Map<ProviderApi, Conversion>();
  for (const [name, provider] of Object.entries(providers) as [ProviderApi, ConversionProvider][]) {
    if (!api.providerApis.includes(name)) {
      byProvider.set(name, new Conversion(client, provider, name));
    }
  }
  conversions.set(api, byProvider);
}

/** Returns undefined where the provider API serves the client API itself, or cannot serve it. */
export function conversionFor(api: ClientApi, providerApi: ProviderApi): Conversion | undefined {
  return conversions.get(api)?.get(providerApi);
}
