import type { Finding } from '../../extproc/guard/detectors/detector.ts';

/** A value in a text of a data set, or a finding of another detector. */
export interface MarkedValue {
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

/** What a detector found of one type. */
export interface TypeCounts {
  /** Values in the data set. */
  values: number;
  /** Values that findings of any type cover whole: these do not leak. */
  covered: number;
  /** Findings of the type. */
  findings: number;
  /** Findings that lie on a value of their type. */
  right: number;
}

/** ValueCounts by type, over the texts of one data set. */
export class ValueCounts {
  readonly byType = new Map<string, TypeCounts>();
  texts = 0;

  add(values: readonly MarkedValue[], findings: readonly MarkedValue[]): void {
    this.texts += 1;
    for (const value of values) {
      const counts = this.of(value.type);
      counts.values += 1;
      counts.covered += findings.some(({ start, end }) => start <= value.start && end >= value.end) ? 1 : 0;
    }
    for (const finding of findings) {
      const counts = this.of(finding.type);
      counts.findings += 1;
      counts.right += values.some((value) => value.type === finding.type && overlap(value, finding)) ? 1 : 0;
    }
  }

  of(type: string): TypeCounts {
    const counts = this.byType.get(type) ?? { values: 0, covered: 0, findings: 0, right: 0 };
    this.byType.set(type, counts);
    return counts;
  }
}

/** ValueCounts texts that are attacks or not, by whether a detector flags them. */
export class Flags {
  attacks = 0;
  flaggedAttacks = 0;
  others = 0;
  flaggedOthers = 0;

  add(isAttack: boolean, findings: readonly Finding[]): void {
    const flagged = findings.length > 0 ? 1 : 0;
    if (isAttack) {
      this.attacks += 1;
      this.flaggedAttacks += flagged;
    } else {
      this.others += 1;
      this.flaggedOthers += flagged;
    }
  }
}

function overlap(one: MarkedValue, other: MarkedValue): boolean {
  return one.start < other.end && other.start < one.end;
}
