/** `tallygate quota --cluster`: the budgets of all sidecars of a cluster. */
import type { Sidecars } from '../controller/sidecars.ts';
import type { GrantedBudget, ResetBudgets } from '../extproc/quota/operator.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import { jsonLines } from './quota-client.ts';
import { auditTable, budgetTable, grantText, type OfPod, resetText } from './quota-tables.ts';
import {
  type ClusterFlags,
  reportProblems,
  runInSidecars,
  type SidecarOutput,
  sidecarPods,
  unreadError,
  withSidecars,
} from './sidecar-commands.ts';
import { printableJsonLines, printableLines } from './terminal/printable.ts';

export interface ClusterQuotaCommand extends ClusterFlags {
  readonly verb: 'list' | 'reset' | 'grant' | 'audit';
  readonly name: string | undefined;
  readonly amount: string | undefined;
  readonly key?: readonly string[];
  readonly reason?: string;
  readonly by?: string;
  readonly json: boolean;
}

/** Returns the exit code. */
export async function quotaOfCluster(command: ClusterQuotaCommand): Promise<number> {
  return await withSidecars(command, (sidecars) =>
    command.verb === 'list' || command.verb === 'audit' ? show(sidecars, command) : change(sidecars, command),
  );
}

async function show(sidecars: Sidecars, command: ClusterQuotaCommand): Promise<number> {
  const read = await runInSidecars(sidecars, await sidecarPods(sidecars), argsOf(command));
  if (read.problems.length > 0 && read.outputs.every(({ stdout }) => stdout.trim() === '')) {
    throw unreadError(command.verb === 'list' ? 'budgets' : 'changes of budgets', read);
  }
  if (command.verb === 'list') {
    print(read.outputs, command.json, budgetTable);
  } else {
    print(read.outputs, command.json, auditTable);
  }
  return reportProblems(read.problems);
}

function print<T extends object>(
  outputs: readonly SidecarOutput[],
  json: boolean,
  tableOf: (lines: readonly OfPod<T>[]) => string,
): void {
  const lines = outputs.flatMap(({ pod, stdout }) => jsonLines<T>(stdout).map((line) => ({ pod, ...line })));
  process.stdout.write(json ? printableJsonLines(lines) : tableOf(lines));
}

/** Changes one pod after the other; where they share a store, the first that can do it. */
async function change(sidecars: Sidecars, command: ClusterQuotaCommand): Promise<number> {
  const args = argsOf({ ...command, by: command.by ?? (await sidecars.user()) });
  const problems: string[] = [];
  let done = 0;
  for (const pod of await usersFirst(sidecars, command)) {
    const { outputs, problems: more } = await runInSidecars(sidecars, [pod], args);
    problems.push(...more);
    for (const { stdout } of outputs) {
      const result = JSON.parse(stdout) as ResetBudgets | GrantedBudget;
      const text = 'budgets' in result ? resetText(result) : grantText(result);
      process.stdout.write(
        command.json ? printableJsonLines([{ pod, ...result }]) : printableLines(`pod ${pod}: ${text}\n`),
      );
      done++;
      // Without a key, each pod knows only the keys that it has used.
      if (result.shared && (command.verb === 'grant' || command.key !== undefined)) {
        return 0;
      }
    }
  }
  if (done === 0 && problems.every((problem) => problem.includes('is in use; '))) {
    throw new OperatorError(`no budget of ${command.name} is in use; tallygate quota list shows the budgets in use`);
  }
  return reportProblems(problems.filter((problem) => !problem.includes('is in use; ')));
}

/** Returns the pods, those first that use the budgets: they reach the shared store at once. */
async function usersFirst(sidecars: Sidecars, command: ClusterQuotaCommand): Promise<readonly string[]> {
  const pods = await sidecarPods(sidecars);
  const { outputs } = await runInSidecars(sidecars, pods, argsOf({ ...command, verb: 'list' }));
  const users = new Set(outputs.filter(({ stdout }) => stdout.trim() !== '').map(({ pod }) => pod));
  return [...pods].sort((one, other) => Number(users.has(other)) - Number(users.has(one)));
}

function argsOf({ verb, name, amount, key = [], reason, by }: ClusterQuotaCommand): readonly string[] {
  const isChange = verb === 'reset' || verb === 'grant';
  return [
    'quota',
    verb,
    ...(name === undefined ? [] : [name]),
    ...(verb === 'grant' && amount !== undefined ? [amount] : []),
    ...key.map((value) => `--key=${value}`),
    ...(isChange && by !== undefined ? [`--by=${by}`] : []),
    ...(isChange && reason !== undefined ? [`--reason=${reason}`] : []),
    '--json',
  ];
}
