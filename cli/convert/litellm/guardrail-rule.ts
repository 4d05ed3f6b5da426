/** The rules that guardrails of LiteLLM become. */
import type { SourceField } from '../source-field.ts';

/** A rule without its name; `fields` are the ones that it comes from. */
export interface GuardrailRuleDraft {
  readonly suffix?: string;
  readonly detect: object;
  readonly action: object;
  readonly fields: readonly SourceField[];
}
