/**
 * `tallygate quota list|reset|grant|audit`: lists and changes the budgets of a running gateway, and
 * shows who changed them.
 */
import { userInfo } from 'node:os';
import type { AuditEntry } from '../extproc/quota/audit.ts';
import type { Budget, GrantedBudget, ResetBudgets } from '../extproc/quota/operator.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import { jsonLines, quotaSocket, request } from './quota-client.ts';
import { quotaOfCluster } from './quota-cluster.ts';
import { auditTable, budgetTable, grantText, resetText } from './quota-tables.ts';
import { clusterOptions, clusterUsage } from './sidecar-commands.ts';
import { printableJsonLines, printableLines } from './terminal/printable.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate quota list [NAMESPACE/POLICY/QUOTA] [--key VALUE]… [OPTION]…
       tallygate quota reset NAMESPACE/POLICY/QUOTA [--key VALUE]… [OPTION]…
       tallygate quota grant NAMESPACE/POLICY/QUOTA AMOUNT [--key VALUE]… [OPTION]…
       tallygate quota audit [NAMESPACE/POLICY/QUOTA] [OPTION]…

Lists the used budgets of a gateway on this machine or of a cluster, resets the budgets of one quota to their full
limit, or grants one budget more: until its window ends, or for the length of a sliding window. The
holds of running requests are charged when the requests end. audit shows who reset and granted what:
the last 1,000 entries.

list shows the budgets that the gateway has used in their current window. With a shared quota
store, it shows what all gateways spent of these; reset and grant of one key concern all gateways,
also if this one has not used it. Without --key, reset concerns the keys that the gateway has used.

  --key VALUE          only the budget of this key; repeat for each part, in the order of the quota
  --reason TEXT        why, for the audit (reset, grant)
  --by NAME            who does it, for the audit (reset, grant; the user of this command)
  --json               print one JSON object per line instead of a table
  --name NAME          instance of tallygate run (default)
  --socket PATH        socket of an extproc (quota.sock beside its journal)
${clusterUsage}
Of a cluster, list and audit show the pod of each line. Where proxies share a quota store, reset and
grant of one key are made once; otherwise, each pod counts alone and gets the whole grant.
`;

const options = {
  key: { type: 'string', multiple: true },
  reason: { type: 'string' },
  by: { type: 'string' },
  json: { type: 'boolean', default: false },
  name: { type: 'string', default: 'default' },
  socket: { type: 'string' },
  ...clusterOptions,
} as const;

const actions = {
  list: { needsQuota: false, takesAmount: false, run: list },
  reset: { needsQuota: true, takesAmount: false, run: reset },
  grant: { needsQuota: true, takesAmount: true, run: grant },
  audit: { needsQuota: false, takesAmount: false, run: showAudit },
} as const;

/** What a command asks the gateway, and how it answers. */
interface QuotaCommand {
  readonly socket: string;
  readonly query: URLSearchParams;
  /** The budgets as given, for messages. */
  readonly what: string;
  readonly json: boolean;
}

export const quota: Verb = async ({ args, settings }) => {
  const parsed = readOptions('quota', args, options, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { values, positionals } = parsed;
  const [verb = '', name, amount, ...more] = positionals;
  const action = Object.hasOwn(actions, verb) ? actions[verb as keyof typeof actions] : undefined;
  if (action === undefined || more.length > 0 || (amount !== undefined && !action.takesAmount)) {
    return wrongUse('quota', 'the action must be list, reset, grant or audit', usage);
  }
  const problem = wrongArguments(action, name, amount, values);
  if (problem !== undefined) {
    return wrongUse('quota', problem.replace('ACTION', verb), usage);
  }
  if (values.cluster) {
    return await quotaOfCluster({ ...values, verb: verb as keyof typeof actions, name, amount });
  }
  const query = new URLSearchParams((values.key ?? []).map((value): [string, string] => ['key', value]));
  if (name !== undefined) {
    query.set('quota', name);
  }
  if (action.needsQuota) {
    query.set('by', values.by ?? userName());
    query.set('reason', values.reason ?? '');
    query.set('amount', amount ?? '');
  }
  const what = `${name}${values.key === undefined ? '' : ` with the key ${values.key.join(', ')}`}`;
  await action.run({ socket: quotaSocket(settings, values), query, what, json: values.json });
  return 0;
};

function wrongArguments(
  { needsQuota, takesAmount }: (typeof actions)[keyof typeof actions],
  name: string | undefined,
  amount: string | undefined,
  values: { readonly key?: readonly string[]; readonly reason?: string; readonly by?: string },
): string | undefined {
  if (needsQuota && name === undefined) {
    return 'ACTION needs the name of a quota';
  }
  if (takesAmount && amount === undefined) {
    return 'ACTION needs an amount';
  }
  if (name !== undefined && name.split('/').length !== 3) {
    return `${name} is not of the form NAMESPACE/POLICY/QUOTA`;
  }
  if (values.key !== undefined && name === undefined) {
    return '--key needs the name of a quota';
  }
  return !needsQuota && (values.reason ?? values.by) !== undefined ? 'ACTION changes nothing' : undefined;
}

async function list({ socket, query, json }: QuotaCommand): Promise<void> {
  const budgets = jsonLines<Budget>(await request(socket, 'GET', `/budgets?${query}`));
  budgets.sort((one, other) => compare(one.quota, other.quota) || compare(one.key.join(), other.key.join()));
  process.stdout.write(json ? printableJsonLines(budgets) : budgetTable(budgets));
}

async function reset({ socket, query, what, json }: QuotaCommand): Promise<void> {
  const done = JSON.parse(await request(socket, 'POST', `/reset?${query}`)) as ResetBudgets;
  if (done.budgets === 0) {
    throw new OperatorError(`no budget of ${what} is in use; tallygate quota list shows the budgets in use`);
  }
  process.stdout.write(
    json ? printableJsonLines([done]) : printableLines(`${query.get('quota')}: ${resetText(done)}\n`),
  );
}

async function grant({ socket, query, what, json }: QuotaCommand): Promise<void> {
  const done = JSON.parse(await request(socket, 'POST', `/grant?${query}`)) as GrantedBudget;
  process.stdout.write(json ? printableJsonLines([done]) : printableLines(`${what}: ${grantText(done)}\n`));
}

async function showAudit({ socket, query, json }: QuotaCommand): Promise<void> {
  const entries = jsonLines<AuditEntry>(await request(socket, 'GET', `/audit?${query}`));
  process.stdout.write(json ? printableJsonLines(entries) : auditTable(entries));
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

/** Returns who runs this command, for records of what operators did. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // The user of a container may have no name.
    return String(process.getuid?.() ?? '');
  }
}
