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
  let usage: Usage | undefined;
  let usageIsRead = false;
  return {
    push(bytes: Uint8Array, sink: TextSink) {
      usageIsRead = false;
      // What is not JSON passes as it is and tells nothing.
      scanner.push(bytes, sink);
    },
    get usage() {
      if (!usageIsRead) usage = form.usage(numbers);
      usageIsRead = true;
      return usage;
    },
    get responseModel() {
      const value = form.model === undefined ? undefined : scanner.one(form.model)?.value;
      return typeof value === 'string' && value !== '' ? value : undefined;
    },
  };
}

/** Whole paths by member and path. Both are constants of the adapters: a string put together anew is dear to look up. */
const wholePaths = new Map<string, Map<string, string>>();

/** The numbers below a member. */
export function below(numbers: Numbers, member: string): Numbers {
  const known = wholePaths.get(member) ?? new Map<string, string>();
  wholePaths.set(member, known);
  return (path) => {
    let whole = known.get(path);
    if (whole === undefined) {
      whole = `${member}.${path}`;
      known.set(path, whole);
    }
    return numbers(whole);
  };
}
