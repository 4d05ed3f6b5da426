/**
 * A stage looks at a response before the client gets it, between the meter, which counts what the
 * provider made, and the writer, which knows what the client was sent.
 */
import type { Failure } from '../../errors.ts';
import type { TextSink } from '../../json/text-sink.ts';

/** Gets the text of a response as it is read, and decides what waits. One instance per response. */
export interface ResponseStage extends TextSink {
  readonly limits: StageLimits;
  /**
   * What happens without a verdict of the stage, because a limit is reached first or the response
   * cannot be read: what waits is released, or the response fails.
   */
  readonly withoutVerdict: 'release' | Failure;
  /**
   * Called for each event of a stream, and for each part of a long one, after its text. Returns how
   * many of the latest must wait, this one included, or why the stream ends.
   */
  event(): number | Failure;
  /** Called once nothing follows. Returns why what still waits must not reach the client. */
  end(): Failure | undefined;
}

export interface StageLimits {
  /** Bounds on the events of a stream that wait. */
  readonly heldEvents: number;
  readonly heldBytes: number;
  /** The longest unary response that waits for its end; 0: its bytes pass as they arrive. */
  readonly bufferedBytes: number;
}

/** Returns a sink that passes text on to the meter or sample and to the stage, if there is one. */
export function textFor(counter: TextSink, stage: ResponseStage | undefined): TextSink {
  return stage === undefined ? counter : new TextTee(counter, stage);
}

class TextTee implements TextSink {
  readonly #counter: TextSink;
  readonly #stage: ResponseStage;

  constructor(counter: TextSink, stage: ResponseStage) {
    this.#counter = counter;
    this.#stage = stage;
  }

  text(channel: number, bytes: Uint8Array, start: number, end: number): void {
    this.#counter.text(channel, bytes, start, end);
    this.#stage.text(channel, bytes, start, end);
  }
}
