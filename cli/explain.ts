/** `tallygate explain`: what a running gateway knows of one request. */

import type { ExplainedRequest } from '../extproc/quota/usage-explain.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import { sharedUsage } from './cluster-usage.ts';
import { jsonLines, quotaSocket, request } from './quota-client.ts';
import {
  clusterOptions,
  clusterUsage,
  reportProblems,
  runInSidecars,
  sidecarPods,
  withSidecars,
} from './sidecar-commands.ts';
import { table } from './table.ts';
import { printableJsonLines } from './terminal/printable.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate explain REQUEST-ID [OPTION]…

Shows what a gateway on this machine, or of a cluster, knows of a request by its x-request-id: the limits that
applied, what was held and how often the hold was extended, the charge and the decision. Single
requests are kept for TALLYGATE_USAGE_REQUEST_DAYS; of refused requests, the last 1,000.

  --of SET             local (default): ask this gateway; shared: ask the shared store, for all gateways
  --json               print one JSON object per line
  --name NAME          instance of tallygate run (default)
  --socket PATH        socket of an extproc (quota.sock beside its journal)
${clusterUsage}`;

const options = {
  of: { type: 'string', default: 'local' },
  json: { type: 'boolean', default: false },
  name: { type: 'string', default: 'default' },
  socket: { type: 'string' },
  ...clusterOptions,
} as const;

export const explain: Verb = async ({ args, settings }) => {
  const parsed = readOptions('explain', args, options, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { values, positionals } = parsed;
  const [id, ...more] = positionals;
  if (id === undefined || more.length > 0) {
    return wrongUse('explain', 'name one request id', usage);
  }
  if (values.of !== 'local' && values.of !== 'shared') {
    return wrongUse('explain', `--of has no "${values.of}"`, usage);
  }
  if (values.cluster) {
    return await explainOfCluster(values, id);
  }
  const path = `/requests?${new URLSearchParams({ id, of: values.of })}`;
  const found = jsonLines<ExplainedRequest>(await request(quotaSocket(settings, values), 'GET', path));
  if (found.length === 0) {
    throw new OperatorError(
      `request ${id} is not recorded; it may still run, be too old, or be known to another gateway`,
    );
  }
  process.stdout.write(values.json ? printableJsonLines(found) : found.map(shown).join('\n'));
  return 0;
};

type ExplainFlags = Exclude<ReturnType<typeof readOptions<typeof options>>, number>['values'];

async function explainOfCluster(values: ExplainFlags, id: string): Promise<number> {
  const { outputs, problems } = await withSidecars(values, async (sidecars) => {
    const pods = await sidecarPods(sidecars);
    const own = await runInSidecars(sidecars, pods, ['explain', '--json', '--', id]);
    const shared = await sharedUsage(sidecars, pods, ['explain', '--json', '--of', 'shared', '--', id]);
    return { outputs: [...own.outputs, ...shared.outputs], problems: [...own.problems, ...shared.problems] };
  });
  // A request that a pod and the shared store have is shown as that of the pod.
  const known = new Map<string, ExplainedRequest & { readonly pod: string }>();
  for (const { pod, stdout } of outputs) {
    for (const request of jsonLines<ExplainedRequest>(stdout)) {
      const text = JSON.stringify(request);
      known.set(text, known.get(text) ?? { pod, ...request });
    }
  }
  const found = [...known.values()];
  process.stdout.write(values.json ? printableJsonLines(found) : found.map(shown).join('\n'));
  return reportProblems(
    found.length > 0 ? problems.filter((problem) => !problem.includes('is not recorded')) : problems,
  );
}

function shown({ hold, limits, tokens, overdrafts, ...facts }: ExplainedRequest): string {
  const rows = Object.entries(facts).map(([name, value]) => [name, String(value)]);
  for (const [kind, count] of Object.entries(tokens ?? {})) {
    if (count > 0) {
      rows.push([`${kind} tokens`, String(count)]);
    }
  }
  if (hold !== undefined) {
    rows.push(['held at admission', `${hold.inputTokens} input, ${hold.outputTokens} output tokens`]);
    rows.push(['extensions', `${hold.extensions} (${hold.extendedTokens} output tokens)`]);
  }
  for (const { quota, amount, unit, cause } of overdrafts ?? []) {
    rows.push(['overdraft', `${amount} ${unit} of ${quota}: ${cause}`]);
  }
  const charged = (hold?.limits ?? []).map((one) => [
    one.quota,
    one.key.join() || '-',
    one.held,
    one.charged,
    one.unit,
  ]);
  const looked = (limits ?? []).map((one) => [one.quota, one.key.join() || '-', '-', '-', '-']);
  const used = [...charged, ...looked].map((row) => row.map(String));
  return (
    table(['FIELD', 'VALUE'], rows) +
    (used.length === 0 ? '' : `\n${table(['LIMIT', 'KEY', 'HELD', 'CHARGED', 'UNIT'], used)}`)
  );
}
