/** The providers of LiteLLM, by the prefix of `litellm_params.model`. */
import type { BackendSpec } from '../../../crds/backend.ts';

export interface LiteLlmProvider {
  readonly schema: BackendSpec['schema'];
  readonly dialect?: NonNullable<BackendSpec['dialect']>;
  readonly catalog?: NonNullable<BackendSpec['catalog']>;
  /** Absent: `api_base` is required. */
  readonly host?: string;
  readonly pathPrefix?: string;
  /** The variable that LiteLLM reads where `api_key` is absent. */
  readonly keyVariable?: string;
  /** Names of models that clients send without the prefix, for wildcards. */
  readonly families?: readonly string[];
}

const openAi: LiteLlmProvider = {
  schema: 'OpenAI',
  catalog: 'openai',
  host: 'api.openai.com',
  keyVariable: 'OPENAI_API_KEY',
  families: ['gpt-*', 'chatgpt-*', 'o1*', 'o3*', 'o4*', 'text-embedding-*', 'dall-e-*', 'tts-*', 'whisper-*', 'omni-*'],
};
const azure: LiteLlmProvider = { schema: 'AzureOpenAI', catalog: 'azure', keyVariable: 'AZURE_API_KEY' };
const vertex: LiteLlmProvider = { schema: 'GCPVertexAI', catalog: 'google', families: ['gemini-*', 'claude-*'] };
const bedrock: LiteLlmProvider = {
  schema: 'AWSBedrock',
  catalog: 'aws',
  families: ['amazon.*', 'anthropic.*', 'meta.*', 'mistral.*', 'cohere.*', 'deepseek.*', 'us.*', 'eu.*', 'global.*'],
};
const cohere: LiteLlmProvider = {
  schema: 'Cohere',
  catalog: 'cohere',
  host: 'api.cohere.com',
  keyVariable: 'COHERE_API_KEY',
  families: ['command-*', 'embed-*', 'rerank-*'],
};
const ollama: LiteLlmProvider = { schema: 'OpenAI', dialect: 'Ollama', keyVariable: 'OLLAMA_API_KEY' };
const vllm: LiteLlmProvider = { schema: 'OpenAI', dialect: 'VLLM', keyVariable: 'HOSTED_VLLM_API_KEY' };
const compatible: LiteLlmProvider = { schema: 'OpenAI' };

function served(host: string, keyVariable: string, more: Partial<LiteLlmProvider> = {}): LiteLlmProvider {
  return { schema: 'OpenAI', host, keyVariable, ...more };
}

const providers: Readonly<Record<string, LiteLlmProvider>> = {
  openai: openAi,
  'text-completion-openai': openAi,
  anthropic: {
    schema: 'Anthropic',
    catalog: 'anthropic',
    host: 'api.anthropic.com',
    keyVariable: 'ANTHROPIC_API_KEY',
    families: ['claude-*'],
  },
  azure,
  azure_text: azure,
  azure_ai: { ...azure, keyVariable: 'AZURE_AI_API_KEY' },
  bedrock,
  bedrock_converse: bedrock,
  vertex_ai: vertex,
  vertex_ai_beta: vertex,
  gemini: {
    schema: 'GoogleGemini',
    catalog: 'google',
    host: 'generativelanguage.googleapis.com',
    keyVariable: 'GEMINI_API_KEY',
    families: ['gemini-*'],
  },
  cohere,
  cohere_chat: cohere,
  mistral: served('api.mistral.ai', 'MISTRAL_API_KEY', { dialect: 'Mistral', catalog: 'mistral' }),
  groq: served('api.groq.com', 'GROQ_API_KEY', { dialect: 'Groq', catalog: 'groq' }),
  deepseek: served('api.deepseek.com', 'DEEPSEEK_API_KEY', {
    dialect: 'DeepSeek',
    catalog: 'deepseek',
    families: ['deepseek-*'],
  }),
  together_ai: served('api.together.xyz', 'TOGETHERAI_API_KEY', { dialect: 'Together', catalog: 'together' }),
  fireworks_ai: served('api.fireworks.ai', 'FIREWORKS_API_KEY', { dialect: 'Fireworks', catalog: 'fireworks' }),
  openrouter: served('openrouter.ai', 'OPENROUTER_API_KEY', { dialect: 'OpenRouter' }),
  xai: served('api.x.ai', 'XAI_API_KEY', { dialect: 'XAI', catalog: 'x-ai', families: ['grok-*'] }),
  cerebras: served('api.cerebras.ai', 'CEREBRAS_API_KEY', { catalog: 'cerebras' }),
  moonshot: served('api.moonshot.ai', 'MOONSHOT_API_KEY', { catalog: 'moonshotai', families: ['kimi-*'] }),
  perplexity: served('api.perplexity.ai', 'PERPLEXITYAI_API_KEY', { pathPrefix: '/', families: ['sonar*'] }),
  nvidia_nim: served('integrate.api.nvidia.com', 'NVIDIA_NIM_API_KEY'),
  sambanova: served('api.sambanova.ai', 'SAMBANOVA_API_KEY'),
  deepinfra: served('api.deepinfra.com', 'DEEPINFRA_API_KEY', { pathPrefix: '/v1/openai' }),
  voyage: served('api.voyageai.com', 'VOYAGE_API_KEY', { families: ['voyage-*'] }),
  jina_ai: served('api.jina.ai', 'JINA_AI_API_KEY', { families: ['jina-*'] }),
  ollama,
  ollama_chat: ollama,
  hosted_vllm: vllm,
  vllm,
  huggingface: { schema: 'HuggingFaceTGI', keyVariable: 'HUGGINGFACE_API_KEY' },
  custom_openai: compatible,
  openai_like: compatible,
  litellm_proxy: { ...compatible, keyVariable: 'LITELLM_PROXY_API_KEY' },
  lm_studio: { ...compatible, keyVariable: 'LM_STUDIO_API_KEY' },
  llamafile: compatible,
  xinference: { ...compatible, keyVariable: 'XINFERENCE_API_KEY' },
  infinity: { ...compatible, keyVariable: 'INFINITY_API_KEY' },
  databricks: { ...compatible, keyVariable: 'DATABRICKS_API_KEY' },
};

/** Names without a prefix that LiteLLM knows. */
const knownNames: readonly (readonly [RegExp, string])[] = [
  [/^(gpt-|chatgpt-|o[134](-|$)|text-embedding-|dall-e-|tts-|whisper-|omni-moderation|ft:gpt|computer-use)/, 'openai'],
  [/^claude-/, 'anthropic'],
  [/^gemini-/, 'vertex_ai'],
  [/^(command|embed-|rerank-)/, 'cohere_chat'],
  [/^(amazon|anthropic|meta|mistral|cohere|ai21)\./, 'bedrock'],
  [/^deepseek-/, 'deepseek'],
  [/^grok-/, 'xai'],
  [/^(mistral|ministral|magistral|codestral|open-mistral|open-mixtral)-/, 'mistral'],
];

export interface NamedProvider {
  readonly name: string;
  readonly provider: LiteLlmProvider;
  /** The provider's own name of the model. */
  readonly model: string;
}

/** Finds the provider of a model; undefined if Tallygate has no API for it. */
export function providerOf(model: string, stated: string | undefined): NamedProvider | undefined {
  const slash = model.indexOf('/');
  const prefix = slash === -1 ? undefined : model.slice(0, slash);
  const name =
    stated ?? (prefix !== undefined && Object.hasOwn(providers, prefix) ? prefix : undefined) ?? guessed(model);
  const provider = name !== undefined && Object.hasOwn(providers, name) ? providers[name] : undefined;
  if (name === undefined || provider === undefined) {
    return undefined;
  }
  const rest = prefix === name ? model.slice(slash + 1) : model;
  return { name, provider, model: provider.schema === 'AWSBedrock' ? bedrockModel(rest) : rest };
}

function guessed(model: string): string | undefined {
  return model.includes('/') ? undefined : knownNames.find(([pattern]) => pattern.test(model))?.[1];
}

/** Removes what LiteLLM puts before the model id: the API, and a region. */
function bedrockModel(rest: string): string {
  return rest.replace(/^(converse|invoke|converse_like)\//, '').replace(/^[a-z]{2}(-[a-z]+)+-[0-9]+\//, '');
}
