/** Budgets and rate limits of LiteLLM become quotas. */
import { isTimeZone } from '../../../contract/time-zone.ts';
import { ObjectDraft, type Place } from '../draft.ts';
import { UniqueLabels } from '../names.ts';
import type { SourceField } from '../source-field.ts';
import { GATEWAY_REF, type LiteLlmSource, NAMESPACE } from './source.ts';

export interface QuotaDraft {
  readonly name: string;
  readonly limit: object;
  readonly window?: object;
  readonly key?: readonly object[];
  when?: string;
  alertAt?: readonly number[];
  mode?: 'Shadow';
  unpriced?: 'Allow';
  onMissingKey?: 'Shared';
  overrides?: object[];
}

const MAX_QUOTAS = 16;
export const MAX_MONEY = 9_000_000;

/** Collects quotas of the Gateway, in as many AIQuotaPolicies as they need. */
export class QuotaDrafts {
  readonly #labels = new UniqueLabels();
  readonly #policies: { readonly draft: ObjectDraft; readonly quotas: QuotaDraft[] }[] = [];

  get drafts(): readonly ObjectDraft[] {
    return this.#policies.map(({ draft }) => draft);
  }

  add(
    quota: Omit<QuotaDraft, 'name'>,
    name: string,
  ): { readonly quota: QuotaDraft; readonly place: (key: string) => Place } {
    let policy = this.#policies.at(-1);
    if (policy === undefined || policy.quotas.length >= MAX_QUOTAS) {
      const quotas: QuotaDraft[] = [];
      const index = this.#policies.length;
      const metadata = { name: index === 0 ? 'budgets' : `budgets-${index + 1}`, namespace: NAMESPACE };
      const spec = { targetRefs: [GATEWAY_REF], quotas };
      policy = {
        draft: new ObjectDraft({ apiVersion: 'tallygate.dev/v1alpha1', kind: 'AIQuotaPolicy', metadata, spec }),
        quotas,
      };
      this.#policies.push(policy);
    }
    const named: QuotaDraft = { name: this.#labels.next(name), ...quota };
    policy.quotas.push(named);
    const { draft } = policy;
    return { quota: named, place: (key) => draft.place(named, key) };
  }
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800, mo: 2_592_000 };

export interface BudgetWindow {
  readonly window: object;
  /** Set where the windows of LiteLLM begin and end at other times. */
  readonly how?: string;
}

/**
 * Converts a duration of LiteLLM (`30d`, `1mo`, `24h`). Days, weeks and months are those of the
 * calendar there, in `litellm_settings.timezone`. Undefined if the text is no such duration.
 */
export function budgetWindow(text: string | undefined, timeZone: string | undefined): BudgetWindow | undefined {
  if (text === undefined) {
    return { window: { type: 'Lifetime' } };
  }
  const [, count = '', unit = ''] = /^([0-9]{1,6})\s*(mo|s|m|h|d|w)$/.exec(text.trim()) ?? [];
  const seconds = Number(count) * (SECONDS[unit] ?? Number.NaN);
  if (!(seconds > 0)) {
    return undefined;
  }
  const calendar = { 60: 'Minute', 3600: 'Hour', 86400: 'Day', 604800: 'Week', 2592000: 'Month' }[seconds];
  if (calendar !== undefined) {
    return { window: { type: 'Calendar', calendar: { unit: calendar, ...(timeZone !== undefined && { timeZone }) } } };
  }
  const most = 744 * 3600;
  const how =
    seconds > most
      ? `Tallygate's longest sliding window is 744h, and LiteLLM has ${text}: the amount is the same in the shorter time.`
      : `A sliding window of ${text}; LiteLLM resets the budget once in this time.`;
  return { window: { type: 'Sliding', sliding: { duration: `${Math.min(seconds, most)}s` } }, how };
}

export interface BudgetFields {
  readonly max?: SourceField | undefined;
  readonly soft?: SourceField | undefined;
  readonly duration?: SourceField | undefined;
  readonly rpm?: SourceField | undefined;
  readonly tpm?: SourceField | undefined;
  readonly parallel?: SourceField | undefined;
}

/** Of what the budget is; a budget without a key is one for all requests. */
export interface BudgetScope {
  readonly name: string;
  readonly key?: readonly object[];
  readonly when?: string;
}

const checked =
  'Tallygate holds the cost of each request before it begins and never passes the amount. LiteLLM adds the cost after the response, so requests at the same time overshoot.';
const SOFT = 'A soft budget only reports.';

/** Adds the quotas of a budget and its rate limits. */
export function addBudget(fields: BudgetFields, scope: BudgetScope, quotas: QuotaDrafts, source: LiteLlmSource): void {
  const zone = source.root.at('litellm_settings', 'timezone');
  const timeZone = zone?.text !== undefined && isTimeZone(zone.text) ? zone.text : undefined;
  const of = budgetWindow(fields.duration?.text, timeZone);
  const { name, ...selected } = scope;
  if (of === undefined) {
    for (const field of [fields.duration, fields.max, fields.soft]) {
      field?.hasNoEqual('the duration cannot be read', 'write it as in 30d, 24h or 1mo');
    }
  } else {
    const amount = money(fields.max ?? fields.soft);
    if (amount !== undefined) {
      const added = quotas.add(
        { limit: { type: 'Cost', amount, currency: 'USD' }, window: of.window, ...selected, unpriced: 'Allow' },
        `${name}-cost`,
      );
      reportMoney(fields, added, of);
      if (timeZone !== undefined && 'calendar' in of.window) {
        zone?.becomes(added.place('window'));
      }
    } else {
      reportAmount(fields);
    }
  }
  addRates(fields, scope, quotas);
}

function money(field: SourceField | undefined): string | undefined {
  const number = field?.number;
  if (number === undefined || number < 0 || number > MAX_MONEY) {
    return undefined;
  }
  return number.toFixed(9).replace(/\.?0+$/, '');
}

function reportMoney(
  fields: BudgetFields,
  { quota, place }: ReturnType<QuotaDrafts['add']>,
  { how }: BudgetWindow,
): void {
  const { max, soft, duration } = fields;
  max?.differs(place('limit'), checked);
  if (max === undefined) {
    quota.mode = 'Shadow';
    quota.alertAt = [100];
    soft?.differs(place('mode'), `${SOFT} Shadow counts and alerts, and refuses nothing.`);
  } else if (soft?.number !== undefined && max.number) {
    quota.alertAt = [Math.min(Math.max(Math.round((soft.number / max.number) * 100), 1), 100)];
    soft.differs(place('alertAt'), `${SOFT} alertAt is in percent of the amount.`);
  }
  if (how === undefined) {
    duration?.becomes(place('window'));
  } else {
    duration?.differs(place('window'), how);
  }
}

function reportAmount({ max, soft, duration }: BudgetFields): void {
  for (const field of [max, soft]) {
    field?.hasNoEqual(`an amount of money is from 0 to ${MAX_MONEY}`, 'choose another amount');
  }
  duration?.isNotNeeded('there is no budget');
}

const rates = [
  { member: 'rpm', type: 'Requests', window: 'Minute' },
  { member: 'tpm', type: 'TotalTokens', window: 'Minute' },
  { member: 'parallel', type: 'ConcurrentRequests', window: undefined },
] as const;

function addRates(fields: BudgetFields, { name, ...selected }: BudgetScope, quotas: QuotaDrafts): void {
  for (const { member, type, window } of rates) {
    const field = fields[member];
    const amount = field?.number;
    if (field === undefined) {
      continue;
    }
    if (amount === undefined || !Number.isSafeInteger(amount) || amount < 1) {
      field.hasNoEqual('the amount of a limit is a whole number above 0', 'choose another amount, or withdraw access');
      continue;
    }
    const { place } = quotas.add(
      {
        limit: { type, amount },
        ...(window !== undefined && { window: { type: 'Calendar', calendar: { unit: window } } }),
        ...selected,
      },
      `${name}-${member}`,
    );
    if (member === 'tpm') {
      field.differs(
        place('limit'),
        'Tallygate holds the tokens of a request before it begins; LiteLLM counts after it.',
      );
    } else {
      field.becomes(place('limit'));
    }
  }
}
