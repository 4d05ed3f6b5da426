/** `tallygate top`: what a console shows, in a terminal. */
import { setTimeout as after } from 'node:timers/promises';
import { socketSource } from '../console/api/socket-source.ts';
import type { ConsoleSource } from '../console/api/source.ts';
import { errorMessage } from '../runtime/error-message.ts';
import { userName } from './quota.ts';
import { operatorErrorOf, quotaSocket } from './quota-client.ts';
import { spanMs } from './tail/filter.ts';
import { hasColors, printableJson } from './terminal/text.ts';
import { AlternateScreen } from './top/alternate-screen.ts';
import { firstState, type PressedKey, press, selectedRow, stopTexts, type TopState } from './top/control.ts';
import { plainText, screenLines } from './top/screen.ts';
import { sectionsOf } from './top/sections.ts';
import { type SpendGroup, spendGroups, type TopSnapshot, takeSnapshot } from './top/snapshot.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const topText = `Usage: tallygate top [OPTION]…

Shows a gateway on this machine while it works: spend of today and of this hour (in UTC), budgets with
their forecast, requests in flight, refusals and backends. Prints tables once where the output is no
terminal. Keys: tab and left/right choose a section, up/down a row, s stops the request of that row
after a question, q ends.

  --by NAME            spend by tenant (default), user or model
  --interval SPAN      time between two readings, from 500ms (2s)
  --once               print tables once
  --json               print one JSON object once
  --name NAME          instance of tallygate run (default)
  --socket PATH        socket of an extproc (quota.sock beside its journal)
`;

const options = {
  by: { type: 'string', default: 'tenant' },
  interval: { type: 'string', default: '2s' },
  once: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  name: { type: 'string', default: 'default' },
  socket: { type: 'string' },
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
  const socket = quotaSocket(settings, values);
  const source = socketSource(socket);
  const first = await firstSnapshot(source, by, socket);
  if (values.json) {
    process.stdout.write(`${printableJson(first)}\n`);
  } else if (values.once || !process.stdout.isTTY || !process.stdin.isTTY) {
    process.stdout.write(plainText(sectionsOf(first)));
  } else {
    await new LiveView({ source, by, socket, intervalMs, first }).run();
    // A gateway that does not answer must not keep the process.
    process.exit(0);
  }
  return 0;
};

async function firstSnapshot(source: ConsoleSource, by: SpendGroup, socket: string) {
  // The source rests between reports, which does not keep a process.
  const kept = setInterval(() => {}, MOST_INTERVAL_MS);
  try {
    return await takeSnapshot(source, by, Date.now());
  } catch (error) {
    throw operatorErrorOf(error, socket);
  } finally {
    clearInterval(kept);
  }
}

interface LiveViewOptions {
  readonly source: ConsoleSource;
  readonly by: SpendGroup;
  readonly socket: string;
  readonly intervalMs: number;
  readonly first: Awaited<ReturnType<typeof takeSnapshot>>;
}

/** Reads and draws until `q`. */
class LiveView {
  readonly #options: LiveViewOptions;
  readonly #screen: AlternateScreen;
  readonly #ended = new AbortController();
  readonly #colored = hasColors(process.stdout);
  #snapshot: LiveViewOptions['first'];
  #state: TopState = firstState;
  /** Why the rows are old. */
  #problem: string | undefined;

  constructor(options: LiveViewOptions) {
    this.#options = options;
    this.#snapshot = options.first;
    this.#screen = new AlternateScreen(process.stdin, process.stdout, {
      onKey: (key) => this.#press(key),
      onResize: () => this.#draw(),
    });
  }

  async run(): Promise<void> {
    const { source, by, socket, intervalMs } = this.#options;
    const { signal } = this.#ended;
    try {
      while (!signal.aborted) {
        this.#draw();
        await after(intervalMs, undefined, { signal }).catch(() => undefined);
        try {
          this.#snapshot = signal.aborted ? this.#snapshot : await takeSnapshot(source, by, Date.now(), this.#snapshot);
          this.#problem = undefined;
        } catch (error) {
          this.#problem = `These rows are old: ${errorMessage(operatorErrorOf(error, socket))}`;
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
        .stop(action.stream.id, userName())
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
      title: `tallygate top  ${new Date(snapshot.timeMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`,
      selected,
      row: selectedRow(this.#state, this.#choices()),
      ...(shown !== undefined && { message: shown }),
    };
    this.#screen.draw(screenLines(view, this.#screen.size, this.#colored));
  }
}
