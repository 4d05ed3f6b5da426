/** Receives output text as the raw contents of JSON strings, with their escapes. */
export interface TextSink {
  /** `channel` numbers the text that [start, end) continues: a choice, a block, reasoning, … */
  text(channel: number, bytes: Uint8Array, start: number, end: number): void;
}
