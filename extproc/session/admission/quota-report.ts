/**
 * The response to `GET /v1/quota`: the quotas that apply to requests with these headers, and what
 * is left of them. A caller sees only the buckets that its own requests would draw on. Pure.
 */
import type { KeyPart, Quota } from '../../../contract/policy.ts';
import type { CompiledRule, CompiledTarget } from '../../policy/compile.ts';
import { bucketsFor } from '../../quota/keys.ts';
import type { BucketRef, BucketSnapshot } from '../../quota/store.ts';
import { shownAmount } from '../../quota/units.ts';
import type { Request } from '../request.ts';
import { findRule, isReachedBy, modelFacts } from '../routing.ts';
import { keyModel } from './quota-plan.ts';
import type { RuleCaller, RuleCallers } from './rule-callers.ts';
import { isKnownModel } from './select-backend.ts';

/** A response of about 30 KB. */
const MAX_ROWS = 100;
/** Models of rules that are looked at, to bound the time: about 10 ms. */
const MAX_MODELS = 1_000;

/** One bucket of the caller, or a quota whose key the request lacks. */
interface QuotaRow {
  readonly quota: Quota;
  readonly bucket: BucketRef | undefined;
}

export interface CallerQuotas {
  readonly rows: readonly QuotaRow[];
  /** There are more. */
  readonly truncated: boolean;
}

/** A model for which a caller could ask by a rule. */
interface RuleModel {
  /** The client's name, or a glob that stands for names that nothing lists. */
  readonly name: string;
  /** The value of the key part `Model`. */
  readonly key: string;
}

/** Returns the quotas that apply to the caller's requests; the query may name one model. */
export function quotasOfCaller(request: Request, callers: RuleCallers): CallerQuotas {
  const rows = new Map<string, QuotaRow>();
  let looked = 0;
  for (const [rule, models] of rulesOf(request)) {
    let quotas = rule.quotas.filter(({ mode }) => mode === 'Enforce');
    for (const model of models) {
      if (quotas.length === 0) {
        break;
      }
      looked++;
      if (rows.size >= MAX_ROWS || looked > MAX_MODELS) {
        return { rows: [...rows.values()].slice(0, MAX_ROWS), truncated: true };
      }
      const caller = callers.of(rule);
      if (caller?.mayUse(model.name)) {
        for (const quota of quotas) {
          addRows(rows, quota, rule, model, caller, request);
        }
        quotas = quotas.filter(dependsOnModel);
      }
    }
  }
  return { rows: [...rows.values()], truncated: false };
}

/** Whether another model of the same rule may have another bucket. */
function dependsOnModel({ key }: Quota): boolean {
  return key.some(({ type }) => type === 'Model' || type === 'Group');
}

function addRows(
  rows: Map<string, QuotaRow>,
  quota: Quota,
  { rule }: CompiledRule,
  { name, key }: RuleModel,
  { caller, groups }: RuleCaller,
  { header }: Request,
): void {
  const byGroup = quota.key.some(({ type }) => type === 'Group');
  for (const group of byGroup ? groups(name) : [undefined]) {
    const keyed = bucketsFor([quota], { header, model: key, route: rule.route, caller, group });
    const bucket = 'missing' in keyed ? undefined : keyed.buckets[0];
    rows.set(bucket?.key ?? quota.id, { quota, bucket });
  }
}

/** Lists the rules that these headers reach, with their models or the one that the query names. */
function* rulesOf(request: Request): Generator<readonly [CompiledRule, Iterable<RuleModel>]> {
  const entry = request.entry!;
  const only = request.query.get('model');
  const rules = only === null ? entry.rules : [findRule(entry, only, request.header)];
  for (const rule of rules) {
    if (rule !== undefined && isReachedBy(rule, request.header)) {
      yield [rule, modelsOf(rule, only, request)];
    }
  }
}

function* modelsOf(rule: CompiledRule, only: string | null, { entry, header }: Request): Generator<RuleModel> {
  for (const target of rule.targets.filter(({ weight }) => weight > 0)) {
    for (const name of only === null ? namesOf(rule, target) : [only]) {
      // An earlier rule may serve a name; a glob stands for the names that no other rule serves.
      if (name === only || name.includes('*') || findRule(entry!, name, header) === rule) {
        yield { name, key: modelKey(rule, target, name) };
      }
    }
  }
}

function modelKey(rule: CompiledRule, target: CompiledTarget, name: string): string {
  const backendModel = target.model ?? name;
  const known = modelFacts(target.backendPolicy, backendModel);
  const modelIsKnown = isKnownModel(rule, known, name);
  return keyModel({ rule, target, facts: { model: name }, backendModel, modelIsKnown });
}

/** Exact names and globs of the rule, and the names of the backend that a glob matches. */
function* namesOf({ rule, models }: CompiledRule, { backendPolicy, model }: CompiledTarget): Generator<string> {
  yield* rule.models;
  if (model === undefined) {
    for (const { name } of backendPolicy.models) {
      if (!name.includes('*') && models.some(({ matches }) => matches(name))) {
        yield name;
      }
    }
  }
}

/** Returns the body of the response. `plain`: without what the operator has named. */
export function quotaReport(
  { rows, truncated }: CallerQuotas,
  snapshots: readonly BucketSnapshot[],
  plain: boolean,
): Uint8Array {
  const byKey = new Map(snapshots.map((snapshot) => [snapshot.bucket.key, snapshot]));
  const quotas = rows.map(({ quota, bucket }) => {
    const snapshot = bucket && byKey.get(bucket.key);
    const resetAtMs = snapshot?.resetAtMs;
    return {
      name: plain ? undefined : quota.id,
      type: quota.limit.type,
      currency: quota.limit.type === 'Cost' ? quota.limit.currency : undefined,
      amount: shownAmount(quota, snapshot?.limit ?? quota.limit.amount),
      remaining: snapshot === undefined ? null : shownAmount(quota, snapshot.remaining),
      resets: resetAtMs === undefined ? null : new Date(resetAtMs).toISOString(),
      key: quota.key.map((part, place) => shownPart(part, bucket?.values[place])),
    };
  });
  return Buffer.from(JSON.stringify({ object: 'list', data: quotas, has_more: truncated }));
}

function shownPart(part: KeyPart, value: string | undefined): object {
  const name = part.type === 'Header' ? part.name : part.type === 'Claim' ? part.claim : undefined;
  return { type: part.type, name, value: value ?? null };
}
