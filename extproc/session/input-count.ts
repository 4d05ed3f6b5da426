/** What is known of the tokens of a prompt: bounded by its bytes at first, and counted where a decision depends on it. */
import { leastTokens } from '../tokens/count.ts';
import { inputTokens, type QuotaPlan, type RoutingDecision } from './admission.ts';

/** Shorter text is counted in 10 ms at most, whatever it is. */
const LONG_TEXT_BYTES = 16 * 1024;

export class InputCount {
  /** Of the text; undefined: not counted. */
  text: number | undefined;
  readonly #choice: RoutingDecision;
  readonly #plan: QuotaPlan;
  /** While the text is not counted: it has no fewer. 0: that is not known. */
  #least = 0;
  #limit = 0;

  constructor(choice: RoutingDecision, plan: QuotaPlan) {
    this.#choice = choice;
    this.#plan = plan;
    const { facts, tokenizer, backendModel } = choice;
    if (plan.inputTokens > 0 && facts.textBytes >= LONG_TEXT_BYTES) {
      this.#least = leastTokens(facts.textBytes, tokenizer, backendModel);
    }
  }

  /** Of the text, as far as it is known. */
  get least(): number {
    return this.text ?? this.#least;
  }

  /** The whole input, for a hold: as counted, or the most that it can be. */
  get most(): number {
    const { inputTokens: bound } = this.#plan;
    return this.text === undefined || bound === 0 ? bound : inputTokens(this.#choice.facts, this.text);
  }

  /** What a demand says beside its bound. */
  get leastOfDemand(): { readonly leastInputTokens: number } | undefined {
    if (this.text !== undefined || this.#least === 0) {
      return undefined;
    }
    return { leastInputTokens: inputTokens(this.#choice.facts, this.#least) };
  }

  /** A count begins that goes no further. */
  countTo(limitTokens: number): void {
    this.#limit = limitTokens;
  }

  counted(tokens: number): void {
    // Past its limit a count has stopped somewhere.
    if (tokens > this.#limit) {
      this.#least = tokens;
    } else {
      this.text = tokens;
    }
  }
}
