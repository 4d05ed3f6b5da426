/** What the model families of Bedrock take beyond the common fields, by the model's id. */

export type ModelFamily = 'claude' | 'nova' | 'other';

/** Claude from 4.5 on takes `disable_parallel_tool_use`, which Converse has no field for. */
const SERIAL_TOOLS = /claude-[a-z]+-(4-[5-9]|[5-9]|\d\d)(?!\d)/;

export function takesSerialTools(model: string): boolean {
  return SERIAL_TOOLS.test(model.toLowerCase());
}

/**
 * Ids name the maker (`eu.anthropic.claude-sonnet-4-5-20250929-v1:0`), also within most ARNs. Of
 * other ARNs, such as those of application inference profiles, nothing is known.
 */
export function familyOf(model: string): ModelFamily {
  const id = model.toLowerCase();
  if (id.includes('claude')) {
    return 'claude';
  }
  return id.includes('amazon.nova') ? 'nova' : 'other';
}
