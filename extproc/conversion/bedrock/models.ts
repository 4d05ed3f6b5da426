/** What the model families of Bedrock take beyond the common fields, by the model's id. */

export type ModelFamily = 'claude' | 'nova' | 'other';

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
