/**
 * The HTTP API of a console, as a function of the request: who asks, what that viewer may see, and
 * what a page of another origin must not do.
 */
import { type UsageGroup, usageGroups } from '../../extproc/quota/usage-report.ts';
import { type UsageSet, usageSets } from '../../extproc/quota/usage-share.ts';
import { callOf, type OwnOrigin, refusedOrigin } from './same-origin.ts';
import type { ConsoleSource, CredentialHeaders, Identification } from './source.ts';
import { isOperator, type OperatorMatch, type Viewer } from './viewer.ts';

export interface ConsoleRequest extends OwnOrigin {
  readonly method: string;
  /** The path below `/console/api/`. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly credential: CredentialHeaders;
}

export interface ConsoleAnswer {
  readonly status: number;
  readonly body: object;
}

export interface ConsoleApiOptions {
  readonly source: ConsoleSource;
  readonly operators: readonly OperatorMatch[];
  /**
   * Whether callers may ask for what the shared store has of other gateways: only where the access
   * policies that identify them count for all gateways.
   */
  readonly readsStore?: boolean;
  readonly onError: (error: unknown) => void;
}

/** The signed-in viewer, and by which name a stop is recorded. */
interface ConsoleSession {
  readonly viewer: Viewer;
  readonly name: string;
  /** False: no access policy is in force. */
  readonly signedIn: boolean;
}

const DAY_MS = 24 * 3_600_000;

export class ConsoleApi {
  readonly #options: ConsoleApiOptions;

  constructor(options: ConsoleApiOptions) {
    this.#options = options;
  }

  async answer(request: ConsoleRequest): Promise<ConsoleAnswer> {
    const foreign = refusedOrigin(request);
    if (foreign !== undefined) {
      return refused(403, foreign);
    }
    try {
      const session = await this.#session(request);
      return 'body' in session ? session : await this.#answerTo(session, request);
    } catch (error) {
      this.#options.onError(error);
      return refused(503, 'The gateway process does not answer; see its log, and try again.');
    }
  }

  async #session({ credential, isLocal }: ConsoleRequest): Promise<ConsoleSession | ConsoleAnswer> {
    const identification = await this.#options.source.identify(credential);
    switch (identification.type) {
      case 'open':
        return isLocal
          ? { viewer: { operator: true }, name: 'local operator', signedIn: false }
          : refused(403, 'No AIAccessPolicy is in force, so the console answers on this machine only. Add one.');
      case 'refused':
        return refused(identification.status, identification.message);
      case 'caller':
        return sessionOf(identification, this.#options.operators);
      default:
        return identification satisfies never;
    }
  }

  async #answerTo(session: ConsoleSession, request: ConsoleRequest): Promise<ConsoleAnswer> {
    const { source } = this.#options;
    const { viewer, signedIn, name } = session;
    const call = callOf(request);
    switch (call.name) {
      case 'GET me':
        return found({ ...viewer, signedIn, name });
      case 'GET usage':
        return await this.#usage(viewer, request.query);
      case 'GET budgets':
        return found(await source.budgets(viewer));
      case 'GET streams':
        return found(await source.streams(viewer));
      case 'GET refusals':
        return found(await source.refusals(viewer));
      case 'GET requests':
        return await this.#requests(viewer, request.query);
      case 'GET backends':
        return found(await source.backends(viewer));
      case 'POST streams/ID/stop':
        return viewer.operator
          ? found({ outcome: await source.stop(call.id, name) })
          : refused(403, 'Only operators may stop requests; ask one of them.');
      default:
        return refused(404, `The console has no ${request.method} ${request.path}.`);
    }
  }

  async #requests(viewer: Viewer, query: URLSearchParams): Promise<ConsoleAnswer> {
    const of = this.#setOf(query);
    return of === 'unknown'
      ? unknownSet
      : found(await this.#options.source.requests(query.get('id') ?? '', viewer, of));
  }

  #setOf(query: URLSearchParams): UsageSet | 'unknown' | undefined {
    const of = query.get('of');
    if (of === null) {
      return undefined;
    }
    return (this.#options.readsStore && usageSets.find((set) => set === of)) || 'unknown';
  }

  async #usage(viewer: Viewer, query: URLSearchParams): Promise<ConsoleAnswer> {
    const by = (query.get('by') ?? 'tenant').split(',');
    const unknown = by.find((each) => !Object.hasOwn(usageGroups, each));
    if (unknown !== undefined) {
      return refused(400, `by has no ${JSON.stringify(unknown.slice(0, 50))}; use ${Object.keys(usageGroups)}.`);
    }
    const nowMs = Date.now();
    const sinceMs = timeOf(query.get('since'), nowMs - DAY_MS);
    const untilMs = timeOf(query.get('until'), nowMs);
    if (!Number.isFinite(sinceMs + untilMs)) {
      return refused(400, 'since and until are times such as 2026-11-01T12:00:00Z.');
    }
    const of = this.#setOf(query);
    return of === 'unknown'
      ? unknownSet
      : found(await this.#options.source.usage({ by: by as UsageGroup[], sinceMs, untilMs, of }, viewer));
  }
}

function sessionOf(
  caller: Extract<Identification, { type: 'caller' }>,
  operators: readonly OperatorMatch[],
): ConsoleSession {
  const { type: _, groups, ...owner } = caller;
  const name = [owner.tenant, owner.user ?? owner.key].filter((part) => part !== undefined).join('/');
  return {
    viewer: { operator: isOperator({ ...owner, groups }, operators), ...owner },
    name: name === '' ? 'unnamed caller' : name,
    signedIn: true,
  };
}

function timeOf(text: string | null, fallback: number): number {
  return text === null ? fallback : Math.max(0, Date.parse(text));
}

const unknownSet = refused(400, 'This console has no other sets of usage; leave out of.');

function found(body: object): ConsoleAnswer {
  return { status: 200, body };
}

function refused(status: number, message: string): ConsoleAnswer {
  return { status, body: { error: { message } } };
}
