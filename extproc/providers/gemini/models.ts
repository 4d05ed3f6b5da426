/**
 * What the names of Gemini models say about them:
 * https://ai.google.dev/gemini-api/docs/thinking
 */

/** How a model's thinking is set: not at all, by a budget (2.5), or by a level (3 and later). */
export type ThinkingControl = 'none' | 'budget' | 'level';

export function thinkingControl(model: string): ThinkingControl {
  const name = plainName(model);
  const version = /^gemini-(\d+)(?:\.(\d+))?/.exec(name);
  if (version === null) {
    // Aliases without a version name the newest model.
    return /^gemini-(pro|flash)\b.*latest/.test(name) ? 'level' : 'none';
  }
  const [major, minor] = [Number(version[1]), Number(version[2] ?? 0)];
  return major >= 3 ? 'level' : major === 2 && minor >= 5 ? 'budget' : 'none';
}

/** Whether a model thinks. Reasoning can be switched off for generation 2.5 except its size pro. */
export function thinks(model: string, reasoningOff: boolean): boolean {
  const control = thinkingControl(model);
  return control !== 'none' && !(reasoningOff && control === 'budget' && modelSize(model) !== 'pro');
}

/**
 * From generation 3 on, calls of functions have ids, signatures are required, and results may have
 * media.
 */
export function isGeneration3(model: string): boolean {
  return thinkingControl(model) === 'level';
}

/** Whether Vertex AI has `embedContent` for a model; the others have `predict`. */
export function embedsContentOnVertex(model: string): boolean {
  return /^gemini-embedding-([2-9]|\d{2}(?!\d))/.test(plainName(model));
}

/** The size of the model, which decides about the limits of its thinking. */
export function modelSize(model: string): 'pro' | 'flash' | 'flash-lite' {
  const name = plainName(model);
  return name.includes('flash-lite') ? 'flash-lite' : name.includes('flash') ? 'flash' : 'pro';
}

/** Generation 3.0 of the size pro knows no medium level. */
export function hasMediumLevel(model: string): boolean {
  return !/^gemini-3-pro\b/.test(plainName(model));
}

function plainName(model: string): string {
  return model.slice(model.lastIndexOf('/') + 1).toLowerCase();
}

/**
 * Whether a model bills output that it does not stream as text: its thoughts, images or speech.
 */
export function hidesContent(model: string, reasoningOff = false): boolean {
  const name = plainName(model);
  return thinks(name, reasoningOff) || /-(image|tts)\b|native-audio/.test(name);
}
