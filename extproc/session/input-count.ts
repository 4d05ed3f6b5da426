/**
 * The tokens of a prompt: bounded by its bytes at first, and counted where a decision depends on
 * the count.
 */
import { leastTokens } from '../tokens/count.ts';
import { inputTokens, likelyInputTokens, type QuotaPlan } from './admission/quota-plan.ts';
import type { RoutingDecision } from './admission/select-backend.ts';
import type { TextSample } from './sample.ts';

/** Counting shorter text takes at most 10 ms, whatever it contains. */
const LONG_TEXT_BYTES = 16 * 1024;

export class InputCount {
  /** Tokens of the text; undefined until it is counted. */
  text: number | undefined;
  /** Kept after the body is released, in case the provider reports no usage. */
  sample: TextSample | undefined;
  readonly #choice: RoutingDecision;
  readonly #plan: QuotaPlan;
  /** A lower bound of the text's tokens; 0 where unknown. */
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

  /** The input as the provider will probably count it, with the lower bound of the text. */
  get likelyLeast(): number {
    return likelyInputTokens(this.#choice.facts, this.text ?? this.#least);
  }

  /** The input for a hold: as counted, or its upper bound. */
  get most(): number {
    const { inputTokens: bound } = this.#plan;
    return this.text === undefined || bound === 0 ? bound : inputTokens(this.#choice.facts, this.text);
  }

  /** The lower bound that a demand states beside the upper one. */
  get leastOfDemand(): { readonly leastInputTokens: number } | undefined {
    if (this.text !== undefined || this.#least === 0) {
      return undefined;
    }
    return { leastInputTokens: inputTokens(this.#choice.facts, this.#least) };
  }

  /** Returns the input for a charge, counted now if need be. */
  likely(): number {
    return likelyInputTokens(this.#choice.facts, this.text ?? this.sample?.tokens() ?? 0);
  }

  /**
   * Counts the text from the sample. Returns false where it is counted already or the sample is
   * incomplete.
   */
  countExactly(): boolean {
    const tokens = this.text === undefined ? this.sample?.exactTokens() : undefined;
    this.text ??= tokens;
    return tokens !== undefined;
  }

  /** Notes that a count begins which stops at a limit. */
  countTo(limitTokens: number): void {
    this.#limit = limitTokens;
  }

  counted(tokens: number): void {
    // A count beyond its limit has stopped early.
    if (tokens > this.#limit) {
      this.#least = tokens;
    } else {
      this.text = tokens;
    }
  }
}
