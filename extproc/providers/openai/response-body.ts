/** Parts of a response document that the gateway writes itself. */

import type { Usage } from '../../usage.ts';

/** Returns a response without output, for a stream that ends before the provider described it. */
export function emptyResponse(model: string): Record<string, unknown> {
  return {
    id: 'resp_tallygate',
    object: 'response',
    created_at: 0,
    status: 'in_progress',
    error: null,
    incomplete_details: null,
    instructions: null,
    max_output_tokens: null,
    model,
    output: [],
    parallel_tool_calls: true,
    previous_response_id: null,
    temperature: null,
    tool_choice: 'auto',
    tools: [],
    top_p: null,
    usage: null,
    metadata: {},
  };
}

export function responseUsage(usage: Usage): object {
  return {
    input_tokens: usage.input,
    input_tokens_details: { cached_tokens: usage.cachedInput },
    output_tokens: usage.output,
    output_tokens_details: { reasoning_tokens: usage.reasoningOutput },
    total_tokens: usage.input + usage.output,
  };
}
