/** Checks the conditions in the statuses of resources. */
import { type CheckOutcome, notChecked, ok, problem, warning } from './check-result.ts';

export interface StatusCondition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

export interface ConditionHolder {
  readonly conditions?: readonly StatusCondition[];
}

export interface ObjectWithStatus {
  readonly metadata: { readonly namespace: string; readonly name: string };
  readonly status?: ConditionHolder & {
    readonly parents?: readonly ConditionHolder[];
    readonly ancestors?: readonly ConditionHolder[];
  };
}

/** Conditions that are `True` where all is well, and whether `False` means that something fails. */
const expected: Readonly<Record<string, typeof problem>> = {
  Accepted: problem,
  ResolvedRefs: problem,
  Programmed: problem,
  Enforcing: problem,
  Healthy: warning,
};

const SECTION = 'an-installation-on-a-cluster';

export function statusOutcomes(objects: readonly ObjectWithStatus[]): readonly CheckOutcome[] {
  const outcomes = objects.flatMap(({ metadata, status }) => {
    const holders = [status ?? {}, ...(status?.parents ?? []), ...(status?.ancestors ?? [])];
    return holders
      .flatMap(({ conditions = [] }) => conditions)
      .filter((condition) => condition.status === 'False' && Object.hasOwn(expected, condition.type))
      .map(({ type, reason, message }) => {
        const { text, fix } = partsOf(message, reason);
        return expected[type]!(
          `${metadata.namespace}/${metadata.name} ${type}: False, ${reason}: ${text}`,
          fix,
          SECTION,
        );
      });
  });
  if (outcomes.length > 0) {
    return outcomes;
  }
  return objects.length === 0 ? [notChecked('there is none')] : [ok(`${objects.length}, no condition is False`)];
}

/** Messages about a field end with their fix. */
function partsOf(message: string, reason: string): { readonly text: string; readonly fix: string } {
  const separator = '; fix: ';
  const end = message.indexOf(separator);
  return end === -1
    ? { text: message, fix: `see the reason ${reason} in docs/reference/conditions.md` }
    : { text: message.slice(0, end), fix: message.slice(end + separator.length) };
}
