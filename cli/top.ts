/** `tallygate top`: what a console shows, in a terminal. */
import { setTimeout as after } from 'node:timers/promises';
import { socketSource } from '../console/api/socket-source.ts';
import { errorMessage } from '../runtime/error-message.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import { userName } from './quota.ts';
import { operatorErrorOf, quotaSocket } from './quota-client.ts';
import { clusterOptions, reportProblems, withSidecars } from './sidecar-commands.ts';
import { spanMs } from './tail/filter.ts';
import { printableJsonLines } from './terminal/printable.ts';
import { hasColors } from './terminal/text.ts';
import { AlternateScreen } from './top/alternate-screen.ts';
import { answerCalls } from './top/bridge.ts';
import { ClusterSource } from './top/cluster-source.ts';
import { firstState, type PressedKey, press, selectedRow, stopTexts, type TopState } from './top/control.ts';
import { plainText, screenLines } from './top/screen.ts';
import { sectionsOf } from './top/sections.ts';
import {
  type SpendGroup,
  spendGroups,
  type TopSnapshot,
  type TopSnapshotWithReport,
  type TopSource,
  takeSnapshot,
} from './top/snapshot.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const topText = `Usage: tallygate top [OPTION]…

Shows a gateway on this machine, or all of a cluster, while it works: spend of today and of this hour (in UTC), budgets with
their forecast, requests in flight, refusals and backends. Prints tables once where the output is no
terminal. Keys: tab and left/right choose a section, up/down a row, s stops the request of that row
after a question, q ends.

  --by NAME            spend by tenant (default), user or model
  --interval SPAN      time between two readings, from 500ms (2s)
  --once               print tables once
  --json               print one JSON object once
  --name NAME          instance of tallygate run (default)
  --socket PATH        socket of an extproc (quota.sock beside its journal)
  --cluster            show all gateways of a cluster; needs the right to list their pods and to exec into
                       them
  --namespace NAME     namespace of the proxy pods (envoy-gateway-system)
  --kubeconfig FILE    the kubeconfig (KUBECONFIG, then ~/.kube/config)
  --context NAME       the context in the kubeconfig (its current context)
  --calls              answer the calls of top --cluster on stdin, in a sidecar
`;

const options = {
  by: { type: 'string', default: 'tenant' },
  interval: { type: 'string', default: '2s' },
  once: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  name: { type: 'string', default: 'default' },
  socket: { type: 'string' },
  calls: { type: 'boolean', default: false },
  ...clusterOptions,
} as const;

const LEAST_INTERVAL_MS = 500;
const MOST_INTERVAL_MS = 3_600_000;

export const top: Verb = async ({ args, settings }) => {
  const parsed = readOptions('top', args, options, topText);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { values, positionals } = parsed;
  const by = spendGroups.find((group) => group === values.by);
  if (positionals.length > 0 || by === undefined) {
    const problem = by === undefined ? `--by has no "${values.by}"` : `unexpected ${positionals[0]}`;
    return wrongUse('top', problem, topText);
  }
  const intervalMs = spanMs(values.interval) ?? 0;
  if (intervalMs < LEAST_INTERVAL_MS || intervalMs > MOST_INTERVAL_MS) {
    return wrongUse('top', '--interval must be a span from 500ms to 60m, such as 2s', topText);
  }
  if (values.calls) {
    await answerCalls(quotaSocket(settings, values), process.stdin, (line) => process.stdout.write(line));
    return 0;
  }
  const view = { by, intervalMs, isOnce: values.once || !isTerminal(), json: values.json };
  if (values.cluster) {
    return await withSidecars(values, async (sidecars) => {
      const source = new ClusterSource(sidecars);
      try {
        await source.connect();
        return await show({ source, operator: await sidecars.user(), problemOf: errorMessage, ...view });
      } finally {
        source.close();
      }
    });
  }
  const socket = quotaSocket(settings, values);
  const problemOf = (error: unknown) => errorMessage(operatorErrorOf(error, socket));
  return await show({ source: socketSource(socket), operator: userName(), problemOf, ...view });
};

/** Whether the alternate screen can be used. */
function isTerminal(): boolean {
  return process.stdout.isTTY && process.stdin.isTTY && process.env['TERM'] !== 'dumb';
}

interface ShownTop {
  readonly source: TopSource;
  readonly by: SpendGroup;
  readonly intervalMs: number;
  readonly isOnce: boolean;
  readonly json: boolean;
  /** Who stops requests, for the audit. */
  readonly operator: string;
  readonly problemOf: (error: unknown) => string;
}

/** Returns the exit code: 1 if a gateway of a cluster does not answer. */
async function show(shown: ShownTop): Promise<number> {
  const { json, isOnce } = shown;
  const first = await firstSnapshot(shown);
  if (json) {
    process.stdout.write(printableJsonLines([first]));
  } else if (isOnce) {
    process.stdout.write(plainText(sectionsOf(first)));
  } else {
    await new LiveView(shown, first).run();
  }
  const code = isOnce || json ? reportProblems(first.gateways?.problems ?? []) : 0;
  // A gateway that does not answer must not keep the process.
  return process.stdout.writableLength === 0 ? process.exit(code) : code;
}

async function firstSnapshot({ source, by, problemOf }: ShownTop) {
  // The source rests between reports, which does not keep a process.
  const kept = setInterval(() => {}, MOST_INTERVAL_MS);
  try {
    return await takeSnapshot(source, by, Date.now());
  } catch (error) {
    throw new OperatorError(problemOf(error));
  } finally {
    clearInterval(kept);
  }
}

/** Reads and draws until `q`. */
class LiveView {
  readonly #options: ShownTop;
  readonly #screen: AlternateScreen;
  readonly #ended = new AbortController();
  readonly #colored = hasColors(process.stdout);
  #snapshot: TopSnapshotWithReport;
  #state: TopState = firstState;
  /** Why the rows are old. */
  #problem: string | undefined;

  constructor(options: ShownTop, first: TopSnapshotWithReport) {
    this.#options = options;
    this.#snapshot = first;
    this.#screen = new AlternateScreen(process.stdin, process.stdout, {
      onKey: (key) => this.#press(key),
      onResize: () => this.#draw(),
    });
  }

  async run(): Promise<void> {
    const { source, by, problemOf, intervalMs } = this.#options;
    const { signal } = this.#ended;
    try {
      while (!signal.aborted) {
        this.#draw();
        await after(intervalMs, undefined, { signal }).catch(() => undefined);
        try {
          this.#snapshot = signal.aborted ? this.#snapshot : await takeSnapshot(source, by, Date.now(), this.#snapshot);
          const [problem, ...more] = this.#snapshot.gateways?.problems ?? [];
          this.#problem = problem && `${problem}${more.length === 0 ? '' : ` (and ${more.length} more)`}`;
        } catch (error) {
          this.#problem = `These rows are old: ${problemOf(error)}`;
        }
      }
    } finally {
      this.#screen.close();
    }
  }

  #choices() {
    const { spend, budgets, streams, refusals, backends } = this.#snapshot;
    const rows = [spend, budgets, streams, refusals, backends].map((section) => section.rows.length);
    return { rows, streams: streams.rows };
  }

  #press(key: PressedKey): void {
    const { state, action } = press(this.#state, key, this.#choices());
    this.#state = state;
    if (action?.type === 'quit') {
      this.#ended.abort();
      this.#screen.close();
      return;
    }
    if (action?.type === 'stop') {
      this.#options.source
        .stop(action.stream.id, this.#options.operator)
        .then((outcome) => stopTexts[outcome], errorMessage)
        .then((message) => {
          this.#state = { ...this.#state, message };
          this.#draw();
        });
    }
    this.#draw();
  }

  #draw(): void {
    const snapshot: TopSnapshot = this.#snapshot;
    const { selected, asking, message } = this.#state;
    const shown = asking === undefined ? (message ?? this.#problem) : message;
    const view = {
      sections: sectionsOf(snapshot),
      title: `tallygate top  ${gatewaysText(snapshot)}${new Date(snapshot.timeMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`,
      selected,
      row: selectedRow(this.#state, this.#choices()),
      ...(shown !== undefined && { message: shown }),
    };
    this.#screen.draw(screenLines(view, this.#screen.size, this.#colored));
  }
}

function gatewaysText({ gateways }: TopSnapshot): string {
  if (gateways === undefined) {
    return '';
  }
  const { total, problems } = gateways;
  return `${total - Math.min(total, problems.length)} of ${total} gateways answer  `;
}
