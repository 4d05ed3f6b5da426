import { asNumber, asRecord, type MockAnswer, type MockDialect } from './dialect.ts';

/**
 * Hugging Face Text Generation Inference: its own endpoints. Details come only at the end of a
 * stream, or on request.
 */
export const tgi: MockDialect = {
  paths: ['/generate', '/generate_stream', '/'],
  read(body, path) {
    const parameters = asRecord(body['parameters']);
    return {
      model: 'tgi',
      stream: path === '/generate_stream' || (path === '/' && body['stream'] === true),
      bound: asNumber(parameters['max_new_tokens']) ?? 100,
      choices: 1,
      usage: true,
      tool: undefined,
      texts: [String(body['inputs'])],
      overheadTokens: 1,
    };
  },
  whole: (answer) => ({ generated_text: answer.text, ...(answer.usage && { details: details(answer) }) }),
  opening: () => '',
  delta: (answer, _choice, text, index) => (index + 1 >= answer.tokens ? '' : event(index + 1, text, null, null)),
  closing: (answer) =>
    event(
      answer.tokens,
      answer.text.slice(answer.text.lastIndexOf(' ')),
      answer.text,
      answer.usage ? details(answer) : null,
    ),
  error: (status) => ({
    error: `mock provider error ${status}`,
    error_type: status === 429 ? 'overloaded' : 'generation',
  }),
  headers: (answer) =>
    answer.usage
      ? { 'x-prompt-tokens': String(answer.inputTokens), 'x-generated-tokens': String(answer.tokens) }
      : ({} as Record<string, string>),
};

function event(index: number, text: string, generatedText: string | null, details: unknown): string {
  const token = { id: 10 + index, text, logprob: -0.5, special: false };
  return `data:${JSON.stringify({ index, token, generated_text: generatedText, details })}\n\n`;
}

function details(answer: MockAnswer) {
  return {
    finish_reason: answer.reason === 'length' ? 'length' : 'eos_token',
    generated_tokens: answer.tokens,
    seed: null,
    input_length: answer.inputTokens,
  };
}
