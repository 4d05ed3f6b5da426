/**
 * Chooses rule, passthrough and backend of one request in a compiled policy. Pure: randomness and
 * health are arguments.
 */
import { hash } from 'node:crypto';
import type { BackendPolicy, ModelFacts } from '../../contract/policy.ts';
import { type NameMatcher, nameMatcher } from '../model-names.ts';
import type { CompiledPassthrough, CompiledRule, CompiledTarget, CompiledVirtualHost } from '../policy/compile.ts';

/**
 * Returns the first rule whose model and headers match. Several values of one header are joined as
 * in HTTP.
 */
export function findRule(
  entry: CompiledVirtualHost,
  model: string,
  header: (name: string) => readonly string[],
): CompiledRule | undefined {
  if (entry.index === undefined) {
    return entry.rules.find((rule) => rule.models.some(({ matches }) => matches(model)) && isReachedBy(rule, header));
  }
  // Many rules may match on the same header.
  const values = new Map<string, string | undefined>();
  const value = (name: string) => {
    if (!values.has(name)) {
      values.set(name, joined(header(name)));
    }
    return values.get(name);
  };
  for (const place of entry.index.matching(model)) {
    const rule = entry.rules[place]!;
    if (headersMatch(rule, value)) {
      return rule;
    }
  }
  return undefined;
}

function joined(values: readonly string[]): string | undefined {
  return values.length === 0 ? undefined : values.join(',');
}

/** Whether the headers of a request fulfil the conditions of a rule. */
export function isReachedBy(rule: CompiledRule, header: (name: string) => readonly string[]): boolean {
  return headersMatch(rule, (name) => joined(header(name)));
}

function headersMatch(rule: CompiledRule, value: (name: string) => string | undefined): boolean {
  return rule.headers.every(({ name, matches }) => {
    const text = value(name);
    return text !== undefined && matches(text);
  });
}

/**
 * Matches parent segments in disguise. Envoy has resolved plain dots, but a provider might unescape
 * these and serve another path than the one that was allowed.
 */
const HIDDEN_PARENT = /(^|\/|%2f|%5c|\\)(\.|%2e){2}(\/|%2f|%5c|\\|$)/i;

/** Returns the first passthrough that matches by its exact path, or by prefix if it ends in `*`. */
export function findPassthrough(
  entry: CompiledVirtualHost,
  method: string,
  path: string,
): CompiledPassthrough | undefined {
  if (HIDDEN_PARENT.test(path)) {
    return undefined;
  }
  return entry.passthrough.find(
    ({ passthrough }) =>
      passthrough.method === method &&
      (passthrough.path.endsWith('*') ? path.startsWith(passthrough.path.slice(0, -1)) : passthrough.path === path),
  );
}

/** Returns the weights of targets of one priority, in their order. */
export type WeightsOf = (group: readonly CompiledTarget[]) => readonly number[];

type TargetTest = (target: CompiledTarget) => boolean;

/** Returns when the rest of a target ends; undefined where it is healthy. */
type RestsUntil = (target: CompiledTarget) => number | undefined;

/**
 * Returns one of the targets that serve the client API, or by a conversion: by weight, among those
 * of the lowest priority number that has a healthy target. Among these, a target that needs no
 * conversion comes first. Where all targets rest, the one whose rest ends first is tried, because a
 * wrong guess must not disable a provider. `random` is in [0, 1). With an affinity key, requests of
 * the same key get the same target while the same ones are healthy; else `weightsOf` may replace
 * the weights.
 */
export function chooseTarget(
  targets: readonly CompiledTarget[],
  serves: TargetTest,
  isConvertible: TargetTest,
  restsUntil: RestsUntil,
  random: number,
  affinityKey?: () => string | undefined,
  weightsOf?: WeightsOf,
): CompiledTarget | undefined {
  const able = ableTargets(targets, serves, isConvertible);
  if (able.length <= 1) {
    return able[0];
  }
  const well = able.filter((target) => restsUntil(target) === undefined);
  const from = well.length > 0 ? well : firstAwake(able, restsUntil);
  const priority = Math.min(...from.map((target) => target.priority));
  const all = from.filter((target) => target.priority === priority);
  const native = all.filter(serves);
  const group = native.length > 0 ? native : all;
  const key = group.length > 1 ? affinityKey?.() : undefined;
  if (key !== undefined) {
    return byKey(group, key);
  }
  return byWeight(group, random, group.length > 1 ? weightsOf?.(group) : undefined);
}

/** Returns the targets whose rest ends first. */
function firstAwake(targets: readonly CompiledTarget[], restsUntil: RestsUntil): readonly CompiledTarget[] {
  const ends = targets.map((target) => restsUntil(target) ?? 0);
  const first = Math.min(...ends);
  return targets.filter((_, at) => ends[at] === first);
}

function byWeight(
  group: readonly CompiledTarget[],
  random: number,
  weights?: readonly number[],
): CompiledTarget | undefined {
  const total = group.reduce((sum, { weight }, at) => sum + (weights?.[at] ?? weight), 0);
  let left = random * total;
  for (const [at, target] of group.entries()) {
    left -= weights?.[at] ?? target.weight;
    if (left < 0) {
      return target;
    }
  }
  return group.at(-1);
}

/**
 * Returns the target that wins the key by weighted rendezvous hashing: a target that leaves moves
 * only its own keys, and each wins keys in proportion to its weight.
 */
function byKey(group: readonly CompiledTarget[], key: string): CompiledTarget | undefined {
  let winner: CompiledTarget | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const target of group) {
    // Exponentially distributed: the least of several is this one in proportion to its weight.
    const distance = -Math.log(hashedFraction(key, target)) / target.weight;
    if (distance < least) {
      least = distance;
      winner = target;
    }
  }
  return winner;
}

const FRACTION_DIGITS = 12;
const FRACTIONS = 16 ** FRACTION_DIGITS;

/** Returns a number in (0, 1). Ids of targets differ between gateways; names do not. */
function hashedFraction(key: string, { backend, model = '' }: CompiledTarget): number {
  const digest = hash('sha256', `${key}\0${backend}\0${model}`, 'hex');
  return (Number.parseInt(digest.slice(0, FRACTION_DIGITS), 16) + 0.5) / FRACTIONS;
}

/** Returns the targets that serve the client API, or by a conversion. */
export function ableTargets(
  targets: readonly CompiledTarget[],
  serves: TargetTest,
  isConvertible: TargetTest,
): readonly CompiledTarget[] {
  return targets.filter((target) => target.weight > 0 && (serves(target) || isConvertible(target)));
}

/** The models of a backend by name; a price list has hundreds. */
interface ModelIndex {
  /** Exact names, with their place in the list. */
  readonly exact: ReadonlyMap<string, number>;
  readonly globs: readonly { readonly matches: NameMatcher; readonly place: number }[];
}

const indexes = new WeakMap<BackendPolicy, ModelIndex>();

/** Returns the facts of a model: the first entry of the backend that matches its name. */
export function modelFacts(backend: BackendPolicy, model: string): ModelFacts | undefined {
  let index = indexes.get(backend);
  if (index === undefined) {
    index = indexOf(backend);
    indexes.set(backend, index);
  }
  const exact = index.exact.get(model) ?? backend.models.length;
  for (const { matches, place } of index.globs) {
    if (place > exact) {
      break;
    }
    if (matches(model)) {
      return backend.models[place];
    }
  }
  return backend.models[exact];
}

function indexOf({ models }: BackendPolicy): ModelIndex {
  const exact = new Map<string, number>();
  const globs: { readonly matches: NameMatcher; readonly place: number }[] = [];
  for (const [place, { name }] of models.entries()) {
    if (name.includes('*')) {
      globs.push({ matches: nameMatcher(name), place });
    } else if (!exact.has(name)) {
      exact.set(name, place);
    }
  }
  return { exact, globs };
}
