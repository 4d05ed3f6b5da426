/**
 * Models that bill reasoning which they do not stream, by name. `ModelFacts.reasoningTokens` of the
 * policy overrides this.
 */

/**
 * OpenAI: o1, o3, o4…; gpt-5 and later except the `gpt-N-chat` models; codex-mini is an o4-mini.
 * xAI: grok-4 and later hide their reasoning (grok-3-mini streams it). Google: Gemini from 2.5 on,
 * through its OpenAI API.
 */
const HIDDEN = [
  /^o\d+(-|$)/,
  /^gpt-([5-9]|[1-9]\d)(?!\d)(?!-chat)/,
  /^codex-/,
  /^grok-([4-9]|[1-9]\d)(?!\d)(?!.*non-reasoning)/,
  /^grok-code/,
  /^gemini-(2\.5|[3-9]|[1-9]\d)/,
];

/**
 * Claude from generation 5 on thinks unless the request says otherwise; the streamed text is a
 * summary, or absent.
 */
const THINKS_BY_DEFAULT = [/^claude-(fable|mythos)/, /^claude-(opus|sonnet|haiku)-([5-9]|[1-9]\d)(?!\d)/];

/**
 * Those of them that reason with the effort `none`, where others of their family do not: they
 * refuse it.
 */
const REASONS_ALWAYS = [/^o\d/, /^gpt-5(?!\.\d)/, /^gpt-.*-(pro|codex)/, /^codex-/, /^gemini-(2\.5-pro|[3-9]|[1-9]\d)/];

/** What the name of a model tells. */
interface ReasoningFacts {
  readonly isHidden: boolean;
  readonly isThinking: boolean;
  readonly reasonsAlways: boolean;
}

/** The facts of recent names. Clients choose names, so their number and length are limited. */
const known = new Map<string, ReasoningFacts>();
const MAX_KNOWN = 1_000;
const MAX_NAME_CHARACTERS = 128;

function factsOf(model: string): ReasoningFacts {
  let facts = known.get(model);
  if (facts === undefined) {
    const name = plainName(model);
    const matches = (pattern: RegExp) => pattern.test(name);
    facts = {
      isHidden: HIDDEN.some(matches),
      isThinking: THINKS_BY_DEFAULT.some(matches),
      reasonsAlways: REASONS_ALWAYS.some(matches),
    };
    if (known.size >= MAX_KNOWN) {
      known.clear();
    }
    if (model.length <= MAX_NAME_CHARACTERS) {
      known.set(model, facts);
    }
  }
  return facts;
}

/** `reasoningOff`: the request switches reasoning off, as far as the model allows. */
export function hidesReasoning(model: string, reasoningOff = false): boolean {
  const { isHidden, reasonsAlways } = factsOf(model);
  return isHidden && (!reasoningOff || reasonsAlways);
}

/** The effort that switches reasoning off in OpenAI's APIs. */
export const NO_EFFORT = 'none';

export function thinksByDefault(model: string): boolean {
  return factsOf(model).isThinking;
}

/** Removes the prefix of a maker or router (`openai/o3`, `us.anthropic.claude-…`) and `ft:`. */
function plainName(model: string): string {
  const name = model.toLowerCase();
  return name
    .slice(name.lastIndexOf('/') + 1)
    .replace(/^ft:/, '')
    .replace(/^([a-z-]+\.)?anthropic\./, '');
}
