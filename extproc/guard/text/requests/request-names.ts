/** The names of members in the requests of all client APIs. */

/** Members whose objects have a schema themselves, where the object around them has one. */
export const containers: ReadonlySet<string> = new Set([
  ...['messages', 'content', 'tool_calls', 'function', 'function_call', 'custom', 'tools', 'functions'],
  ...['tool_choice', 'system', 'source', 'image_url', 'input_audio', 'file', 'audio', 'cache_control', 'citations'],
  ...['thinking', 'thinking_blocks', 'reasoning', 'reasoning_details', 'response_format', 'json_schema', 'text'],
  ...['format', 'input', 'summary', 'annotations', 'action', 'contents', 'parts', 'systemInstruction'],
  ...['system_instruction', 'functionCall', 'functionResponse', 'function_response', 'inlineData', 'inline_data'],
  ...['fileData', 'executableCode', 'codeExecutionResult', 'requests', 'generationConfig', 'thinkingConfig'],
  ...['toolConfig', 'functionCallingConfig', 'safetySettings', 'prompt', 'prediction', 'web_search_options'],
  ...['user_location', 'approximate', 'container', 'conversation', 'context_management', 'edits', 'stream_options'],
  ...['extra_content', 'google', 'caller', 'parameters', 'options', 'output_config', 'speechConfig'],
]);

/** Members that name things: never text where the object has a schema. */
export const identifiers: ReadonlySet<string> = new Set([
  ...['id', 'type', 'role', 'model', 'object', 'status', 'call_id', 'tool_call_id', 'tool_use_id', 'item_id'],
  ...['file_id', 'response_id', 'previous_response_id', 'prompt_cache_key', 'media_type', 'mime_type', 'mimeType'],
]);

/** Members of the whole request that instruct the model or describe its tools. */
export const instructions: ReadonlySet<string> = new Set([
  ...['system', 'systemInstruction', 'system_instruction', 'instructions', 'tools', 'functions'],
]);

/** Other members that have text or numbers. */
const members = [
  ...['name', 'arguments', 'args', 'response', 'output', 'outputs', 'results', 'result', 'error', 'data', 'url'],
  ...['file_data', 'fileUri', 'filename', 'title', 'context', 'query', 'documents', 'inputs', 'user', 'metadata'],
  ...['user_id', 'instructions', 'description', 'strict', 'detail', 'refusal', 'reasoning_content', 'thought'],
  ...['signature', 'thoughtSignature', 'thought_signature', 'encrypted_content', 'encrypted_index', 'is_error'],
  ...['code', 'logs', 'attributes', 'score', 'start_index', 'end_index', 'index', 'queries', 'variables', 'version'],
  ...['start_char_index', 'end_char_index', 'document_index', 'document_title', 'cited_text', 'stdout', 'stderr'],
];

const settings = [
  ...['temperature', 'top_p', 'top_k', 'topP', 'topK', 'n', 'seed', 'stop', 'stop_sequences', 'stopSequences'],
  ...['stream', 'include_usage', 'max_tokens', 'max_completion_tokens', 'max_output_tokens', 'maxOutputTokens'],
  ...['max_new_tokens', 'min_tokens', 'min_p', 'max_tool_calls', 'maxItems', 'presence_penalty', 'frequency_penalty'],
  ...['presencePenalty', 'frequencyPenalty', 'repetition_penalty', 'logit_bias', 'logprobs', 'top_logprobs', 'echo'],
  ...['responseLogprobs', 'best_of', 'suffix', 'candidateCount', 'response_mime_type', 'responseMimeType', 'store'],
  ...['responseSchema', 'responseJsonSchema', 'parametersJsonSchema', 'responseModalities', 'modalities', 'effort'],
  ...['reasoning_effort', 'budget_tokens', 'thinkingBudget', 'thinkingLevel', 'includeThoughts', 'service_tier'],
  ...['parallel_tool_calls', 'functionDeclarations', 'function_declarations', 'allowedFunctionNames', 'mode'],
  ...['input_schema', 'schema', 'ttl', 'category', 'threshold', 'truncation', 'include', 'background', 'verbosity'],
  ...['safety_identifier', 'prompt_cache_retention', 'dimensions', 'encoding_format', 'outputDimensionality'],
  ...['taskType', 'task_type', 'top_n', 'return_documents', 'size', 'quality', 'voice', 'speed', 'details'],
  ...['display_width', 'display_height', 'display_width_px', 'display_height_px', 'x', 'y', 'scroll_x', 'scroll_y'],
  ...['betas', 'anthropic_version', 'max_uses', 'allowed_domains', 'blocked_domains', 'server_label', 'server_url'],
  ...['require_approval', 'allowed_tools', 'headers', 'authorization', 'vector_store_ids', 'max_num_results'],
];

/** Of JSON Schema. */
const keywords = [
  ...['properties', 'required', 'enum', 'items', 'additionalProperties', 'anyOf', 'oneOf', 'allOf', 'not', 'const'],
  ...['default', 'pattern', 'minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'minLength', 'maxLength'],
  ...['minItems', 'uniqueItems', 'nullable', '$schema', '$ref', '$defs', 'definitions', 'examples', 'propertyNames'],
  ...['propertyOrdering', 'minProperties', 'maxProperties', 'multipleOf', 'prefixItems'],
];

/** Keys that are words of the APIs themselves: no words of the client. */
export const vocabulary: ReadonlySet<string> = new Set([
  ...containers,
  ...identifiers,
  ...instructions,
  ...members,
  ...settings,
  ...keywords,
]);
