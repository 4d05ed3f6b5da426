/**
 * The guardrails of one request and its response: which rules look at a text, what takes the place
 * of what they find, and what is known of it at the end. Pure.
 */
import type { Detector, Finding } from './detectors/detector.ts';
import { PlaceholderDetector } from './placeholder-detector.ts';
import type { GuardScope } from './text/fragment.ts';

export type GuardPhase = 'request' | 'response';

export type GuardAction =
  /** `placeholder` has `{type}` and `{index}`; `restore`: the client gets its values back. */
  | { readonly type: 'Mask'; readonly placeholder: string; readonly restore: boolean }
  | { readonly type: 'Block'; readonly message: string }
  | { readonly type: 'Monitor' };

export interface GuardRule {
  readonly name: string;
  readonly policy: string;
  readonly phases: ReadonlySet<GuardPhase>;
  readonly scopes: ReadonlySet<GuardScope>;
  readonly detector: Detector;
  readonly action: GuardAction;
  /** `Closed`: what a rule cannot look at does not pass. */
  readonly onFailure: 'Closed' | 'Open';
  /** What happens to a text that cannot be changed; see `unmaskable.ts`. */
  readonly onUnmaskable: 'Block' | 'Pass';
}

/** A finding and its rule; none where a placeholder is to be restored. */
export interface RuleFinding extends Finding {
  readonly rule: GuardRule | undefined;
}

/** An edit of a text: `text` takes the place of the units [start, end). */
export interface Replacement {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** Other values may get the same text, so that two keys of an object could become equal. */
  readonly isShared: boolean;
}

export interface ResolvedFindings {
  /** Sorted; they do not overlap. */
  readonly replacements: readonly Replacement[];
  /** Where text begins that a rule blocks; nothing from there on may pass. */
  readonly blockedAt: number | undefined;
}

export interface GuardBlock {
  readonly rule: GuardRule;
  readonly message: string;
}

/** How often a rule found values of one type. */
export interface RuleCount {
  readonly rule: GuardRule;
  readonly type: string;
  readonly count: number;
}

/** A hostile text may have any number of values; those beyond share one placeholder. */
const MAX_VALUES = 10_000;

const NO_RULES: readonly GuardRule[] = [];

export class RequestGuard {
  /** Present once a rule has blocked the request or its response. */
  block: GuardBlock | undefined;
  readonly rules: readonly GuardRule[];
  readonly #selected = new Map<string, readonly GuardRule[]>();
  /** The index of each value, by the placeholder without it. */
  readonly #indexes = new Map<string, Map<string, number>>();
  #values = 0;
  readonly #restorable = new Map<string, string>();
  #placeholders: PlaceholderDetector | undefined;
  readonly #counts = new Map<GuardRule, Map<string, number>>();

  constructor(rules: readonly GuardRule[]) {
    this.rules = rules;
  }

  /** Whether a text of this phase may have to be looked at. */
  appliesTo(phase: GuardPhase): boolean {
    const restores = phase === 'response' && this.#restorable.size > 0;
    return restores || this.rules.some(({ phases }) => phases.has(phase));
  }

  /** Whether a response may have to be changed, beside being looked at. */
  get changesResponses(): boolean {
    const changes = ({ phases, action }: GuardRule) => phases.has('response') && action.type !== 'Monitor';
    return this.#restorable.size > 0 || this.rules.some(changes);
  }

  /** Whether a response that cannot be read must not pass. */
  get closesResponses(): boolean {
    return this.rules.some(({ phases, onFailure }) => phases.has('response') && onFailure === 'Closed');
  }

  rulesFor(phase: GuardPhase, scope: GuardScope): readonly GuardRule[] {
    const key = `${phase} ${scope}`;
    let rules = this.#selected.get(key);
    if (rules === undefined) {
      rules = this.rules.filter(({ phases, scopes }) => phases.has(phase) && scopes.has(scope));
      this.#selected.set(key, rules.length === 0 ? NO_RULES : rules);
    }
    return rules;
  }

  /** Returns what finds the placeholders that a response must not have; undefined: none. */
  get placeholders(): Detector | undefined {
    if (this.#restorable.size > 0) {
      this.#placeholders ??= new PlaceholderDetector([...this.#restorable.keys()]);
    }
    return this.#placeholders;
  }

  /**
   * Decides what happens to the findings of one text. Overlapping findings are one: a rule that
   * blocks wins, then the longest finding names the type, then the earliest, then the rule that
   * comes first. The replacement covers all of them, so that no part of a value is left.
   */
  resolve(phase: GuardPhase, text: string, findings: readonly RuleFinding[], counted: boolean): ResolvedFindings {
    const replacements: Replacement[] = [];
    // What is only recorded must not join values that are far apart: a verdict is about a text.
    const recorded = findings.filter(isRecorded);
    const acting = recorded.length === 0 ? findings : findings.filter((finding) => !isRecorded(finding));
    if (counted) {
      this.#count(recorded);
    }
    for (const cluster of clustersOf(acting)) {
      if (counted) {
        this.#count(cluster.findings);
      }
      const blocking = cluster.findings.find(({ rule }) => rule?.action.type === 'Block');
      if (blocking !== undefined) {
        const rule = blocking.rule!;
        this.block ??= { rule, message: (rule.action as GuardAction & { type: 'Block' }).message };
        return { replacements, blockedAt: cluster.start };
      }
      const replaced = this.#replacement(phase, text, cluster.findings);
      if (replaced !== undefined) {
        replacements.push(replaced);
      }
    }
    return { replacements, blockedAt: undefined };
  }

  /** Counts a verdict that names no place in the text. */
  countVerdict(rule: GuardRule): void {
    this.#countOne(rule, 'flagged');
  }

  /** Returns what was found, without the values. */
  counts(): readonly RuleCount[] {
    const counts: RuleCount[] = [];
    for (const [rule, types] of this.#counts) {
      for (const [type, count] of types) {
        counts.push({ rule, type, count });
      }
    }
    return counts;
  }

  #count(findings: readonly RuleFinding[]): void {
    for (const { rule, type } of findings) {
      if (rule !== undefined) {
        this.#countOne(rule, type);
      }
    }
  }

  #countOne(rule: GuardRule, type: string): void {
    const types = this.#counts.get(rule) ?? new Map<string, number>();
    this.#counts.set(rule, types);
    types.set(type, (types.get(type) ?? 0) + 1);
  }

  #replacement(phase: GuardPhase, text: string, findings: readonly RuleFinding[]): Replacement | undefined {
    const [first] = findings;
    if (first === undefined) {
      return undefined;
    }
    let best = first;
    let { end } = first;
    for (const finding of findings) {
      best = finding.end - finding.start > best.end - best.start ? finding : best;
      end = Math.max(end, finding.end);
    }
    const { start } = first;
    const { rule } = best;
    const value = text.slice(start, end);
    const restored = rule === undefined ? this.#restorable.get(text.slice(best.start, best.end)) : undefined;
    return restored === undefined
      ? { start, end, ...this.#placeholder(phase, rule!, best.type, value) }
      : { start, end, text: restored, isShared: false };
  }

  #placeholder(
    phase: GuardPhase,
    { action }: GuardRule,
    type: string,
    value: string,
  ): Pick<Replacement, 'text' | 'isShared'> {
    const { placeholder, restore } = action as GuardAction & { type: 'Mask' };
    const form = placeholder.replaceAll('{type}', type);
    const index = this.#index(form, value);
    const text = form.replaceAll('{index}', String(index));
    if (phase === 'request' && restore && index <= MAX_VALUES) {
      this.#restorable.set(text, value);
    }
    return { text, isShared: index > MAX_VALUES || !form.includes('{index}') };
  }

  /** Returns the number of a value among those whose placeholders differ only by it. */
  #index(form: string, value: string): number {
    const indexes = this.#indexes.get(form) ?? new Map<string, number>();
    this.#indexes.set(form, indexes);
    const known = indexes.get(value);
    if (known !== undefined) {
      return known;
    }
    if (this.#values === MAX_VALUES) {
      return MAX_VALUES + 1;
    }
    this.#values++;
    indexes.set(value, indexes.size + 1);
    return indexes.size;
  }
}

function isRecorded({ rule }: RuleFinding): boolean {
  return rule?.action.type === 'Monitor';
}

/** Findings that overlap one another, directly or by others. */
interface FindingCluster {
  readonly start: number;
  end: number;
  /** By their start, and in the order of their rules. */
  readonly findings: RuleFinding[];
}

/** Returns the clusters of findings, sorted by start. */
export function clustersOf(findings: readonly RuleFinding[]): readonly FindingCluster[] {
  const clusters: FindingCluster[] = [];
  const sorted = findings.length < 2 ? findings : findings.toSorted((one, other) => one.start - other.start);
  for (const finding of sorted) {
    const last = clusters.at(-1);
    if (last !== undefined && finding.start < last.end) {
      last.findings.push(finding);
      last.end = Math.max(last.end, finding.end);
    } else {
      clusters.push({ start: finding.start, end: finding.end, findings: [finding] });
    }
  }
  return clusters;
}
