/** What speech and transcripts have in common. */
import { textUsage, type Usage } from '../../usage.ts';

/** Returns the usage of audio that a model made; its input is to be counted. */
export function audioOutputUsage(tokens: number): Usage {
  return { ...textUsage(0, tokens), audioOutput: tokens };
}
