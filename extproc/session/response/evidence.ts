/** What a response proves about its cost and contributes to the record. */
import type { EventReader } from '../../providers/adapter.ts';
import type { Usage } from '../../usage.ts';

/** What a response proves about its cost, taken once at the end. */
export interface ResponseEvidence {
  readonly usage: Usage | undefined;
  readonly usageFinal: boolean;
  readonly responseModel: string | undefined;
  readonly serviceTier: string | undefined;
  /** What traces name of the response. */
  readonly named?: Pick<EventReader, 'responseId' | 'finishReasons'> | undefined;
  /** See `UnaryReader.priceUnits`. */
  readonly priceUnits?: number | undefined;
  /** The response came to the end that its API defines. */
  readonly finished: boolean;
  /** Truncated at the end of a budget. */
  readonly truncated: boolean;
  /** Nothing of the body can be read, so its tokens are unknown. */
  readonly unreadable: boolean;
  readonly partlyUnreadable: boolean;
  /** How long the stream waited for extensions. */
  readonly waitedMs: number;
  /**
   * How long the provider continued at the end while nobody read, because an extension was pending.
   */
  readonly unreadMs: number;
  /** Returns the tokens of the text received; for an unreadable body, an estimate by its bytes. */
  countOutput(): number;
  /**
   * Returns the exact count of the text received, to compare with the provider's number; undefined
   * where it would not be exact. Takes up to 3 ms.
   */
  countExactly(): number | undefined;
}

/**
 * Tokens of an unread body are estimated by this: more than English needs, so a charge is rather
 * too high.
 */
export const BYTES_PER_TOKEN = 3;

/** The evidence of a response whose body was not read. */
export function unreadEvidence(unreadable: boolean, bytes: number, finished: boolean): ResponseEvidence {
  return {
    usage: undefined,
    usageFinal: false,
    responseModel: undefined,
    serviceTier: undefined,
    finished,
    truncated: false,
    unreadable,
    partlyUnreadable: unreadable,
    waitedMs: 0,
    unreadMs: 0,
    countOutput: () => (unreadable ? Math.ceil(bytes / BYTES_PER_TOKEN) : 0),
    countExactly: () => undefined,
  };
}
