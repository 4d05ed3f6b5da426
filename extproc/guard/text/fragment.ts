/** Whose words a text is, or what it is for. */
export const guardScopes = ['system', 'user', 'assistant', 'toolCall', 'toolResult', 'reasoning'] as const;

export type GuardScope = (typeof guardScopes)[number];

/**
 * One text of a document or of an event of a stream: the contents of a JSON string, still escaped,
 * at [start, end) of the bytes.
 */
export interface TextFragment {
  /**
   * Fragments of one channel continue one text, also in later events: what a client joins, such as
   * the deltas of a choice.
   */
  readonly channel: number;
  readonly scope: GuardScope;
  readonly start: number;
  readonly end: number;
  /**
   * `json`: the string contains JSON, such as arguments of a tool; only its strings and numbers are
   * text. `number`: the text is a number of the document, and becomes a string where it changes.
   * `key`: the key of a member.
   */
  readonly form: 'text' | 'json' | 'number' | 'key';
  /** The fragment is a whole text, which nothing continues. */
  readonly whole: boolean;
  /** The text repeats fragments before it, so what is found in it is not counted again. */
  readonly repeats: boolean;
}
