/**
 * `tallygate quota list|reset`: what is spent of budgets, and giving one its whole limit again, in
 * the gateway that runs.
 */
import { existsSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import type { Budget } from '../extproc/quota/operator.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import { quotaSocketOf } from '../standalone/state.ts';
import { ask } from '../standalone/unix-http.ts';
import { stateHome } from './environment.ts';
import { table } from './table.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate quota list [NAMESPACE/POLICY/QUOTA] [--key VALUE]… [OPTION]…
       tallygate quota reset NAMESPACE/POLICY/QUOTA [--key VALUE]… [OPTION]…

Lists the budgets of the gateway that runs here that have something spent or held, or gives
those of a quota their whole limit again. What running requests hold is charged when they end.

  --key VALUE          only the budget of this key; once for each part, in the order of the quota
  --json               one JSON object a line in place of a table
  --name NAME          the instance of tallygate run (default)
  --socket PATH        the socket of an extproc (beside its journal: quota.sock)
`;

const options = {
  key: { type: 'string', multiple: true },
  json: { type: 'boolean', default: false },
  name: { type: 'string', default: 'default' },
  socket: { type: 'string' },
} as const;

/** Where the sidecar of a proxy pod has it: in the volume of its journal. */
const SIDECAR_SOCKET = '/var/lib/tallygate/quota.sock';
const DEADLINE_MS = 30_000;

export const quota: Verb = async ({ args, settings }) => {
  const parsed = readOptions('quota', args, options, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { values, positionals } = parsed;
  const [action, name, ...more] = positionals;
  if ((action !== 'list' && action !== 'reset') || more.length > 0) {
    return wrongUse('quota', 'say list or reset', usage);
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
  const state = {
    stateHome: stateHome(settings, homedir()),
    runtimeHome: settings.XDG_RUNTIME_DIR,
    name: values.name,
  };
  const local = quotaSocketOf(state);
  const socket = values.socket ?? (!existsSync(local) && existsSync(SIDECAR_SOCKET) ? SIDECAR_SOCKET : local);
  const asked = new URLSearchParams((values.key ?? []).map((value): [string, string] => ['key', value]));
  if (name !== undefined) {
    asked.set('quota', name);
  }
  if (action === 'list') {
    const budgets = (await say(socket, 'GET', `/budgets?${asked}`))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Budget);
    budgets.sort((one, other) => compare(one.quota, other.quota) || compare(one.key.join(), other.key.join()));
    process.stdout.write(
      values.json ? budgets.map((one) => `${JSON.stringify(one)}\n`).join('') : budgetTable(budgets),
    );
    return 0;
  }
  asked.set('by', userName());
  const done = JSON.parse(await say(socket, 'POST', `/reset?${asked}`)) as { budgets: number; spent: number };
  if (done.budgets === 0) {
    throw new OperatorError(
      `no budget of ${name}${values.key === undefined ? '' : ` with the key ${values.key.join(', ')}`} has anything spent; tallygate quota list shows those that have`,
    );
  }
  process.stdout.write(
    values.json
      ? `${JSON.stringify(done)}\n`
      : `${name}: ${done.budgets} ${done.budgets === 1 ? 'budget' : 'budgets'} reset, ${done.spent} was spent\n`,
  );
  return 0;
};

async function say(socket: string, method: 'GET' | 'POST', path: string): Promise<string> {
  try {
    const { status, body } = await ask(socket, method, path, DEADLINE_MS);
    if (status === 200) {
      return body;
    }
    throw new OperatorError(`the gateway at ${socket} answers ${status}; is it of another version?`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ECONNREFUSED') {
      throw new OperatorError(`no gateway runs at ${socket}; start it, or say which by --name NAME or --socket PATH`);
    }
    if (code === 'EACCES') {
      throw new OperatorError(`${socket} may only be opened by the user that runs the gateway`);
    }
    throw error;
  }
}

function budgetTable(budgets: readonly Budget[]): string {
  if (budgets.length === 0) {
    return 'No budget has anything spent or held.\n';
  }
  return table(
    ['QUOTA', 'KEY', 'WINDOW', 'SPENT', 'HELD', 'LIMIT', 'RESETS'],
    budgets.map(({ quota: id, key, window, spent, held, limit, resetAt }) =>
      [id, key.join(',') || '-', window, spent, held, limit, resetAt ?? 'never'].map(String),
    ),
  );
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container's user may have no name.
    return String(process.getuid?.() ?? '');
  }
}
