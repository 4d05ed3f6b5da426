/**
 * `tallygate quota list|reset`: lists and resets the budgets of a running gateway.
 */
import { userInfo } from 'node:os';
import type { Budget, ResetBudgets } from '../extproc/quota/operator.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import { jsonLines, quotaSocket, request } from './quota-client.ts';
import { table } from './table.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate quota list [NAMESPACE/POLICY/QUOTA] [--key VALUE]… [OPTION]…
       tallygate quota reset NAMESPACE/POLICY/QUOTA [--key VALUE]… [OPTION]…

Lists the used budgets of a gateway on this machine, or resets the budgets of one quota to their
full limit. The holds of running requests are charged when the requests end.

  --key VALUE          only the budget of this key; repeat for each part, in the order of the quota
  --json               print one JSON object per line instead of a table
  --name NAME          instance of tallygate run (default)
  --socket PATH        socket of an extproc (quota.sock beside its journal)
`;

const options = {
  key: { type: 'string', multiple: true },
  json: { type: 'boolean', default: false },
  name: { type: 'string', default: 'default' },
  socket: { type: 'string' },
} as const;

export const quota: Verb = async ({ args, settings }) => {
  const parsed = readOptions('quota', args, options, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { values, positionals } = parsed;
  const [action, name, ...more] = positionals;
  if ((action !== 'list' && action !== 'reset') || more.length > 0) {
    return wrongUse('quota', 'the action must be list or reset', usage);
  }
  if (action === 'reset' && name === undefined) {
    return wrongUse('quota', 'reset needs the name of a quota', usage);
  }
  if (name !== undefined && name.split('/').length !== 3) {
    return wrongUse('quota', `${name} is not of the form NAMESPACE/POLICY/QUOTA`, usage);
  }
  if (values.key !== undefined && name === undefined) {
    return wrongUse('quota', '--key needs the name of a quota', usage);
  }
  const socket = quotaSocket(settings, values);
  const query = new URLSearchParams((values.key ?? []).map((value): [string, string] => ['key', value]));
  if (name !== undefined) {
    query.set('quota', name);
  }
  if (action === 'list') {
    const budgets = jsonLines<Budget>(await request(socket, 'GET', `/budgets?${query}`));
    budgets.sort((one, other) => compare(one.quota, other.quota) || compare(one.key.join(), other.key.join()));
    process.stdout.write(
      values.json ? budgets.map((one) => `${JSON.stringify(one)}\n`).join('') : budgetTable(budgets),
    );
    return 0;
  }
  query.set('by', userName());
  const done = JSON.parse(await request(socket, 'POST', `/reset?${query}`)) as ResetBudgets;
  if (done.budgets === 0) {
    throw new OperatorError(
      `no budget of ${name}${values.key === undefined ? '' : ` with the key ${values.key.join(', ')}`} is in use; tallygate quota list shows the budgets in use`,
    );
  }
  process.stdout.write(
    values.json
      ? `${JSON.stringify(done)}\n`
      : `${name}: ${done.budgets} ${done.budgets === 1 ? 'budget' : 'budgets'} reset, ${withCurrency(done.spent, done.currency)} was spent\n`,
  );
  return 0;
};

function budgetTable(budgets: readonly Budget[]): string {
  if (budgets.length === 0) {
    return 'No budget is in use.\n';
  }
  return table(
    ['QUOTA', 'KEY', 'WINDOW', 'SPENT', 'HELD', 'LIMIT', 'RESETS', 'EXHAUSTED'],
    budgets.map(({ quota: id, key, window, spent, held, limit, currency, resetAt, exhaustedAt }) =>
      [
        id,
        key.join(',') || '-',
        window,
        spent,
        held,
        withCurrency(limit, currency),
        resetAt ?? 'never',
        exhaustedAt ?? '-',
      ].map(String),
    ),
  );
}

function withCurrency(amount: number | string, currency: string | undefined): string {
  return currency === undefined ? String(amount) : `${amount} ${currency}`;
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // The user of a container may have no name.
    return String(process.getuid?.() ?? '');
  }
}
