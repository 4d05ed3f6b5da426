/** The readers of one answer, made when it is known whether it streams: each has tables of its own, and only one of them is ever used. */
import type { StreamReader, WholeReader } from './adapter.ts';

export interface AnswerReaders {
  readonly whole: WholeReader;
  readonly stream: StreamReader;
}

export function answerReaders(newWhole: () => WholeReader, newStream: () => StreamReader): AnswerReaders {
  let whole: WholeReader | undefined;
  let stream: StreamReader | undefined;
  return {
    get whole() {
      whole ??= newWhole();
      return whole;
    },
    get stream() {
      stream ??= newStream();
      return stream;
    },
  };
}
