/** Parameters of requests, as `requestProbes`. */
import { probeData, type RequestProbe } from './request-probes.ts';

const { same, config, SCHEMA } = probeData;

const FORMAT = { name: 'place', schema: SCHEMA };

export const parameterProbes: readonly RequestProbe[] = [
  {
    feature: 'JSON schema of the output',
    asks: {
      chat: { response_format: { type: 'json_schema', json_schema: FORMAT } },
      messages: { output_config: { format: { type: 'json_schema', schema: SCHEMA } } },
      responses: { text: { format: { type: 'json_schema', ...FORMAT } } },
      content: config({ responseMimeType: 'application/json', responseJsonSchema: SCHEMA }),
    },
    arrives: {
      openai: { response_format: { type: 'json_schema', json_schema: { schema: SCHEMA } } },
      anthropic: { output_config: { format: { type: 'json_schema', schema: SCHEMA } } },
      bedrock: { outputConfig: { textFormat: { structure: { jsonSchema: { schema: JSON.stringify(SCHEMA) } } } } },
      gemini: config({ responseMimeType: 'application/json', responseJsonSchema: SCHEMA }),
      cohere: { response_format: { type: 'json_object', json_schema: SCHEMA } },
    },
  },
  {
    feature: 'JSON without a schema',
    asks: {
      chat: { response_format: { type: 'json_object' } },
      responses: { text: { format: { type: 'json_object' } } },
      content: config({ responseMimeType: 'application/json' }),
    },
    arrives: {
      ...same(['openai', 'cohere'], { response_format: { type: 'json_object' } }),
      gemini: config({ responseMimeType: 'application/json' }),
    },
  },
  {
    feature: 'Output bound',
    asks: {
      chat: { max_completion_tokens: 3000 },
      messages: { max_tokens: 3000 },
      responses: { max_output_tokens: 3000 },
      content: config({ maxOutputTokens: 3000 }),
    },
    arrives: {
      ...same(['anthropic', 'cohere'], { max_tokens: 3000 }),
      openai: [{ max_completion_tokens: 3000 }, { max_tokens: 3000 }],
      bedrock: { inferenceConfig: { maxTokens: 3000 } },
      gemini: config({ maxOutputTokens: 3000 }),
    },
  },
  {
    feature: 'Stop sequences',
    asks: {
      chat: { stop: ['END', 'FIN'] },
      messages: { stop_sequences: ['END', 'FIN'] },
      content: config({ stopSequences: ['END', 'FIN'] }),
    },
    arrives: {
      openai: { stop: ['END', 'FIN'] },
      ...same(['anthropic', 'cohere'], { stop_sequences: ['END', 'FIN'] }),
      bedrock: { inferenceConfig: { stopSequences: ['END', 'FIN'] } },
      gemini: config({ stopSequences: ['END', 'FIN'] }),
    },
  },
  {
    feature: 'Temperature up to 1, top-p',
    asks: {
      ...same(['chat', 'messages', 'responses'], { temperature: 0.5, top_p: 0.9 }),
      content: config({ temperature: 0.5, topP: 0.9 }),
    },
    arrives: {
      ...same(['openai', 'anthropic'], { temperature: 0.5, top_p: 0.9 }),
      bedrock: { inferenceConfig: { temperature: 0.5, topP: 0.9 } },
      gemini: config({ temperature: 0.5, topP: 0.9 }),
      cohere: { temperature: 0.5, p: 0.9 },
    },
  },
  {
    feature: 'Temperature above 1',
    asks: {
      ...same(['chat', 'responses'], { temperature: 1.5 }),
      content: config({ temperature: 1.5 }),
    },
    arrives: {
      ...same(['openai', 'cohere'], { temperature: 1.5 }),
      gemini: config({ temperature: 1.5 }),
    },
  },
  {
    feature: 'Top-k',
    asks: {
      ...same(['chat', 'messages'], { top_k: 5 }),
      content: config({ topK: 5 }),
    },
    arrives: {
      anthropic: { top_k: 5 },
      bedrock: { additionalModelRequestFields: { top_k: 5 } },
      gemini: config({ topK: 5 }),
      cohere: { k: 5 },
    },
  },
  {
    feature: 'Penalties',
    asks: {
      chat: { frequency_penalty: 0.5, presence_penalty: 0.25 },
      content: config({ frequencyPenalty: 0.5, presencePenalty: 0.25 }),
    },
    arrives: {
      ...same(['openai', 'cohere'], { frequency_penalty: 0.5, presence_penalty: 0.25 }),
      gemini: config({ frequencyPenalty: 0.5, presencePenalty: 0.25 }),
    },
  },
  {
    feature: 'Seed',
    asks: { chat: { seed: 7 }, content: config({ seed: 7 }) },
    arrives: { ...same(['openai', 'cohere'], { seed: 7 }), gemini: config({ seed: 7 }) },
  },
  {
    feature: 'Bias of tokens',
    asks: { chat: { logit_bias: { 5: 1 } } },
    arrives: { openai: { logit_bias: { 5: 1 } } },
  },
  {
    feature: 'Log probabilities',
    asks: {
      chat: { logprobs: true, top_logprobs: 2 },
      responses: { include: ['message.output_text.logprobs'] },
      content: config({ responseLogprobs: true }),
    },
    arrives: {},
  },
  {
    feature: 'Several choices',
    asks: { chat: { n: 2 }, content: config({ candidateCount: 2 }) },
    arrives: {},
  },
  {
    feature: 'Reasoning by effort',
    asks: {
      chat: { reasoning_effort: 'high' },
      messages: { output_config: { effort: 'high' } },
      responses: { reasoning: { effort: 'high' } },
      content: config({ thinkingConfig: { thinkingLevel: 'HIGH' } }),
    },
    arrives: {
      openai: { reasoning_effort: 'high' },
      anthropic: { thinking: { type: 'enabled' } },
      bedrock: { additionalModelRequestFields: { thinking: { type: 'enabled' } } },
      gemini: config({ thinkingConfig: { includeThoughts: true } }),
      cohere: { thinking: { type: 'enabled' } },
    },
  },
  {
    feature: 'Reasoning by budget',
    asks: {
      messages: { thinking: { type: 'enabled', budget_tokens: 2000 } },
      content: config({ thinkingConfig: { thinkingBudget: 2000 } }),
    },
    arrives: {
      openai: { reasoning_effort: 'low' },
      anthropic: { thinking: { budget_tokens: 2000 } },
      bedrock: { additionalModelRequestFields: { thinking: { budget_tokens: 2000 } } },
      gemini: config({ thinkingConfig: { includeThoughts: true } }),
      cohere: { thinking: { token_budget: 2000 } },
    },
  },
  {
    feature: 'Prompt caches: the whole prompt',
    asks: {
      ...same(['chat', 'responses'], { prompt_cache_key: 'k' }),
      messages: { cache_control: { type: 'ephemeral' } },
    },
    arrives: {
      openai: 'automatic',
      anthropic: { cache_control: { type: 'ephemeral' } },
      bedrock: { messages: [{ content: [{ cachePoint: { type: 'default' } }] }] },
      gemini: 'automatic',
      cohere: 'automatic',
    },
  },
  {
    feature: 'Prompt caches: breakpoints',
    asks: same(['chat', 'messages'], {
      messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi', cache_control: { type: 'ephemeral' } }] }],
    }),
    arrives: {
      openai: 'automatic',
      anthropic: { messages: [{ content: [{ text: 'Hi', cache_control: { type: 'ephemeral' } }] }] },
      bedrock: { messages: [{ content: [{ text: 'Hi' }, { cachePoint: { type: 'default' } }] }] },
      gemini: 'automatic',
      cohere: 'automatic',
    },
  },
  {
    feature: 'Id of the end user',
    asks: {
      ...same(['chat', 'responses'], { safety_identifier: 'u7' }),
      messages: { metadata: { user_id: 'u7' } },
      content: { labels: { user: 'u7' } },
    },
    arrives: { openai: { user: 'u7' }, anthropic: { metadata: { user_id: 'u7' } } },
  },
];
