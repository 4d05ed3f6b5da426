/** What `tallygate top` shows of a cluster: one answer from those of all sidecars. */
import { clusterAnswer, streamOfCluster } from '../../console/api/cluster-answers.ts';
import { callSource } from '../../console/api/socket-source.ts';
import type { Bounded, ConsoleSource, ConsoleUsageQuery } from '../../console/api/source.ts';
import { Turns } from '../../console/api/turns.ts';
import { mergedUsage } from '../../console/api/usage-merge.ts';
import type { SidecarPod, Sidecars } from '../../controller/sidecars.ts';
import type { UsageSums } from '../../extproc/quota/usage-report.ts';
import { NO_SHARED_STORE } from '../../extproc/quota/usage-share.ts';
import { errorMessage } from '../../runtime/error-message.ts';
import { OperatorError } from '../../standalone/operator-error.ts';
import { jsonLines } from '../quota-client.ts';
import { noSidecars } from '../sidecar-commands.ts';
import { SidecarLink } from './sidecar-link.ts';
import type { GatewaysState, TopSource } from './snapshot.ts';

const LIST_MS = 3_000;
/** A pod that does not answer is asked again after this. */
const RETRY_MS = 10_000;
const MAX_USAGE_ROWS = 2_000;
/** What reads the hours of usage takes a quarter of a processor at most. */
const reportTurns = { atOnce: 2, rests: 3, maxWaiting: 64 } as const;

const operator = { operator: true } as const;

/** A pod with its link, while there is one. */
interface LinkedGateway {
  readonly pod: SidecarPod;
  open?: { readonly link: SidecarLink; readonly source: ConsoleSource };
  problem?: string;
  retryAtMs: number;
}

export class ClusterSource implements TopSource {
  readonly #sidecars: Sidecars;
  readonly #gateways = new Map<string, LinkedGateway>();
  readonly #reports = new Turns(reportTurns);
  #ready: Promise<void> | undefined;
  #listedAtMs = Number.NEGATIVE_INFINITY;
  #problem: string | undefined;

  constructor(sidecars: Sidecars) {
    this.#sidecars = sidecars;
  }

  /** Throws with the fix where no gateway answers. */
  async connect(): Promise<void> {
    await this.#refresh();
    const { total, problems } = this.gateways();
    if (total === 0) {
      throw noSidecars(this.#sidecars);
    }
    if (problems.length === total) {
      const rights = `a Role in ${this.#sidecars.namespace} with list on pods, and create and get on pods/exec`;
      throw new OperatorError(`${problems[0]}; see its log, or ask for ${rights}`);
    }
  }

  gateways(): GatewaysState {
    const all = [...this.#gateways.values()];
    const problems = all.flatMap(({ pod, problem }) => (problem === undefined ? [] : [`pod ${pod.name}: ${problem}`]));
    return { total: all.length, problems: this.#problem === undefined ? problems : [this.#problem, ...problems] };
  }

  async usage(query: ConsoleUsageQuery): Promise<Bounded<UsageSums>> {
    return await this.#reports.run(() => this.#usage(query));
  }

  budgets = () => this.#rows('GET budgets', (source) => source.budgets(operator));
  streams = () => this.#rows('GET streams', (source) => source.streams(operator));
  refusals = () => this.#rows('GET refusals', (source) => source.refusals(operator));
  backends = () => this.#rows('GET backends', (source) => source.backends(operator));

  async stop(id: string, by: string) {
    const stream = streamOfCluster(id);
    const owner = this.#gateways.get(stream?.podUid ?? '')?.open;
    return stream === undefined || owner === undefined ? 'unknown' : await owner.source.stop(stream.id, by);
  }

  close(): void {
    for (const { open } of this.#gateways.values()) {
      open?.link.close();
    }
  }

  /** A sidecar first sends what it has to the store, so nothing counts twice. */
  async #usage({ by, sinceMs, untilMs }: ConsoleUsageQuery): Promise<Bounded<UsageSums>> {
    const path = (of: string) => {
      const query = new URLSearchParams({ of, since: String(sinceMs), until: String(untilMs) });
      for (const name of by) {
        query.append('by', name);
      }
      return `/usage?${query}`;
    };
    const own = await this.#answers(async ({ link }) => (await link.ask('GET', path('unshared'))).body);
    const reports = own.answers.map(({ answer }) => jsonLines<UsageSums>(answer));
    for (const { gateway } of own.answers) {
      const { status, body } = await gateway.link.ask('GET', path('shared'));
      if (status === 200) {
        reports.push(jsonLines<UsageSums>(body));
      }
      if (status === 200 || body.includes(NO_SHARED_STORE)) {
        break;
      }
    }
    const rows = mergedUsage(reports);
    return { rows: rows.slice(0, MAX_USAGE_ROWS), total: rows.length, ...missing(own.unanswered) };
  }

  async #rows<Row>(call: string, ask: (source: ConsoleSource) => Promise<Bounded<Row>>): Promise<Bounded<Row>> {
    const { answers, unanswered } = await this.#answers(({ source }) => ask(source));
    const bodies = answers.map(({ pod, answer }) => ({
      gateway: pod.name,
      podUid: pod.uid,
      answer: { status: 200, body: answer },
    }));
    const merged =
      bodies.length === 0 ? { rows: [], total: 0 } : (clusterAnswer(call, bodies).body as unknown as Bounded<Row>);
    return { ...merged, ...missing(unanswered) };
  }

  async #answers<Answer>(ask: (gateway: NonNullable<LinkedGateway['open']>) => Promise<Answer>) {
    await this.#refresh();
    const all = [...this.#gateways.values()];
    const asked = await Promise.all(
      all.map(async (gateway) => {
        const { pod, open } = gateway;
        if (open === undefined) {
          return [];
        }
        try {
          return [{ pod, gateway: open, answer: await ask(open) }];
        } catch (error) {
          fail(gateway, error);
          return [];
        }
      }),
    );
    const answers = asked.flat();
    return { answers, unanswered: all.length - answers.length };
  }

  /** Lists the pods from time to time, and opens the links that are missing. */
  #refresh(): Promise<void> {
    this.#ready ??= this.#update().finally(() => {
      this.#ready = undefined;
    });
    return this.#ready;
  }

  async #update(): Promise<void> {
    const nowMs = performance.now();
    if (nowMs - this.#listedAtMs >= LIST_MS) {
      await this.#list();
      this.#listedAtMs = nowMs;
    }
    const closed = [...this.#gateways.values()].filter(
      ({ open, retryAtMs }) => open === undefined && retryAtMs <= nowMs,
    );
    await Promise.all(closed.map((gateway) => this.#open(gateway)));
  }

  async #list(): Promise<void> {
    let pods: readonly SidecarPod[];
    try {
      pods = await this.#sidecars.pods();
      this.#problem = undefined;
    } catch (error) {
      if (this.#listedAtMs < 0) {
        throw error;
      }
      this.#problem = `the pods cannot be listed: ${errorMessage(error)}`;
      return;
    }
    const uids = new Set(pods.map(({ uid }) => uid));
    for (const [uid, { open }] of this.#gateways) {
      if (!uids.has(uid)) {
        open?.link.close();
        this.#gateways.delete(uid);
      }
    }
    for (const pod of pods.filter(({ uid }) => !this.#gateways.has(uid))) {
      this.#gateways.set(pod.uid, { pod, retryAtMs: 0 });
    }
  }

  async #open(gateway: LinkedGateway): Promise<void> {
    try {
      const link = await SidecarLink.open(this.#sidecars, gateway.pod.name);
      gateway.open = { link, source: callSource(link.call) };
      delete gateway.problem;
    } catch (error) {
      fail(gateway, error);
    }
  }
}

function fail(gateway: LinkedGateway, error: unknown): void {
  gateway.open?.link.close();
  delete gateway.open;
  gateway.problem = errorMessage(error);
  gateway.retryAtMs = performance.now() + RETRY_MS;
}

function missing(unanswered: number): { readonly unanswered?: number } {
  return unanswered > 0 ? { unanswered } : {};
}
