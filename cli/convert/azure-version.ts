/** Versions of Azure OpenAI's API. */

/** The oldest dated version that Tallygate speaks. */
export const OLDEST_AZURE_VERSION = '2024-10-21';

/** The `apiVersion` of an AIBackend; undefined for the default, the v1 API. */
export function azureVersion(text: string | undefined): string | undefined {
  const isDated = text !== undefined && /^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$/.test(text);
  return (isDated && text.slice(0, 10) >= OLDEST_AZURE_VERSION) || text === 'preview' ? text : undefined;
}
