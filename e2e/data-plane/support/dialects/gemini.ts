import {
  asList,
  asNumber,
  asRecord,
  data,
  type MockAnswer,
  type MockDialect,
  textsIn,
  toolArguments,
} from './dialect.ts';

/** Signs every function call. */
export const THOUGHT_SIGNATURE = 'bW9jayBzaWduYXR1cmU=';

/** Gemini's generateContent. */
export const gemini: MockDialect = {
  paths: [],
  matches: (path) => /^(\/v1beta|\/v1\/.+\/google)\/models\/[^/]+:(generateContent|streamGenerateContent)$/.test(path),
  read(body, path) {
    const declared = asRecord(asList(asRecord(asList(body['tools'])[0])['functionDeclarations'])[0]);
    const [model = '', method] = path.slice(path.lastIndexOf('/') + 1).split(':');
    return {
      model,
      stream: method === 'streamGenerateContent',
      bound: asNumber(asRecord(body['generationConfig'])['maxOutputTokens']),
      choices: 1,
      usage: true,
      tool: typeof declared['name'] === 'string' ? declared['name'] : undefined,
      texts: [...textsIn(body['systemInstruction']), ...textsIn(body['contents'])],
      overheadTokens: 4,
    };
  },
  whole: (answer) => response(answer, [...thoughts(answer), ...parts(answer)], answer.tokens, finishReason(answer)),
  opening: (answer) => (answer.hiddenTokens > 0 ? data(response(answer, thoughts(answer), 0)) : ''),
  // A function call arrives whole, in the last event.
  delta: (answer, _choice, text, index) =>
    answer.tool === undefined ? data(response(answer, [{ text }], index + 1)) : '',
  closing: (answer) =>
    data(response(answer, answer.tool === undefined ? [] : parts(answer), answer.tokens, finishReason(answer))),
  error: (status) => ({
    error: {
      code: status,
      message: `mock provider error ${status}`,
      status: `MOCK_${status}`,
      details: status === 429 ? [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '6.5s' }] : [],
    },
  }),
};

const vector = { values: [0.5, -0.25, 0.125] };

/** Gemini's embedContent and batchEmbedContents: the response has the members of both. */
export const geminiEmbeddings: MockDialect = {
  ...gemini,
  matches: (path) => /^(\/v1beta|\/v1\/.+\/google)\/models\/[^/]+:(embedContent|batchEmbedContents)$/.test(path),
  read: (body, path) => ({
    ...gemini.read(body, path),
    stream: false,
    texts: textsIn(body['requests'] ?? body['content']),
    overheadTokens: 0,
  }),
  whole: (answer) => ({
    embedding: vector,
    embeddings: [vector],
    ...(answer.usage && { usageMetadata: { promptTokenCount: answer.inputTokens } }),
  }),
};

function thoughts({ hiddenTokens }: MockAnswer): readonly object[] {
  return hiddenTokens > 0 ? [{ text: 'A thought.', thought: true }] : [];
}

function parts(answer: MockAnswer): readonly object[] {
  if (answer.tool === undefined) {
    return [{ text: answer.text }];
  }
  const functionCall = { id: 'f1', name: answer.tool, args: JSON.parse(toolArguments(answer)) as object };
  return [{ functionCall, thoughtSignature: THOUGHT_SIGNATURE }];
}

function finishReason({ reason }: MockAnswer): string {
  return reason === 'length' ? 'MAX_TOKENS' : 'STOP';
}

function response(answer: MockAnswer, content: readonly object[], tokens: number, reason?: string) {
  const { inputTokens, hiddenTokens } = answer;
  return {
    candidates: [
      { content: { role: 'model', parts: content }, index: 0, ...(reason !== undefined && { finishReason: reason }) },
    ],
    ...(answer.usage && {
      usageMetadata: {
        promptTokenCount: inputTokens,
        candidatesTokenCount: tokens,
        ...(hiddenTokens > 0 && { thoughtsTokenCount: hiddenTokens }),
        totalTokenCount: inputTokens + tokens + hiddenTokens,
      },
    }),
    modelVersion: answer.model,
    responseId: answer.id,
  };
}
