/** Reads an answer that comes as one JSON document: its text goes to the sink as it comes, its numbers are kept, nothing else is. */
import { newScanner } from '../stream/json.ts';
import type { Shape } from '../stream/shape.ts';
import type { TextSink, Usage, WholeReader } from './adapter.ts';
import type { Numbers } from './usage.ts';

/** What a kind of answer has, and where. */
export interface AnswerForm {
  readonly shape: Shape;
  /** Path of the model's name. */
  readonly model?: string;
  /** `numbers` reads the number at a path of the shape. */
  readonly usage: (numbers: Numbers) => Usage | undefined;
}

export function wholeReader(form: AnswerForm): WholeReader {
  const scanner = newScanner(form.shape, { purpose: 'answer' });
  const numbers: Numbers = (path) => {
    const value = scanner.one(path)?.value;
    return typeof value === 'number' && value >= 0 ? value : undefined;
  };
  return {
    push(bytes: Uint8Array, sink: TextSink) {
      // What is not JSON passes as it is and tells nothing.
      scanner.push(bytes, sink);
    },
    get usage() {
      return form.usage(numbers);
    },
    get responseModel() {
      const value = form.model === undefined ? undefined : scanner.one(form.model)?.value;
      return typeof value === 'string' && value !== '' ? value : undefined;
    },
  };
}

/** The numbers below a member. */
export function below(numbers: Numbers, member: string): Numbers {
  return (path) => numbers(`${member}.${path}`);
}
