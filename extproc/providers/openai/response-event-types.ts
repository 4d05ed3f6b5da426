/** The types of events of a responses stream, by what they mean for text and state. */

/** Deltas of content or summary parts, and of input for tools. */
export const PART_DELTAS: ReadonlySet<string> = new Set([
  'response.output_text.delta',
  'response.refusal.delta',
  'response.reasoning_text.delta',
]);
export const SUMMARY_DELTA = 'response.reasoning_summary_text.delta';
export const INPUT_DELTAS: ReadonlySet<string> = new Set([
  'response.function_call_arguments.delta',
  'response.mcp_call_arguments.delta',
  'response.custom_tool_call_input.delta',
  'response.code_interpreter_call_code.delta',
  'response.shell_call_command.delta',
]);
export const INPUT_DONES: ReadonlySet<string> = new Set(
  [...INPUT_DELTAS].map((type) => type.replace(/delta$/, 'done')),
);
export const TEXT_DONES: ReadonlySet<string> = new Set(
  [...PART_DELTAS, SUMMARY_DELTA].map((type) => type.replace(/delta$/, 'done')),
);
/**
 * Events without text of their own: starts, progress, ends, repetitions of deltas, audio and
 * images.
 */
export const KNOWN_EVENT =
  /^(error|keepalive|response\.(audio\.delta|(.*[._])?(done|added|queued|created|in_progress|searching|interpreting|generating|completed|incomplete|cancelled|failed|partial_image)))$/;
export const BEGINNINGS: ReadonlySet<string> = new Set(['response.created', 'response.queued', 'response.in_progress']);
export const ENDS: Readonly<Record<string, 'finished' | 'failed'>> = {
  'response.completed': 'finished',
  'response.incomplete': 'finished',
  'response.cancelled': 'finished',
  'response.failed': 'failed',
  error: 'failed',
};
