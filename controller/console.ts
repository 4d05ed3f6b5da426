/**
 * The console of a cluster: asks the sidecars what their gateways do, and makes one answer of
 * theirs. Each sidecar decides by its own policy who asks and which rows that caller may see.
 */
import type { ConsoleAnswer, ConsoleRequest } from '../console/api/api.ts';
import { clusterAnswer, type GatewayAnswer, streamOfCluster } from '../console/api/cluster-answers.ts';
import { callOf, refusedOrigin } from '../console/api/same-origin.ts';
import { type AskGateways, answerWithStore, isAboutStore } from '../console/api/store-answers.ts';
import type { ConsoleContent } from './push/console-questions.ts';
import type { PushServer } from './push/server.ts';
import type { ConnectedSidecar } from './push/sidecar.ts';

export interface ClusterConsoleOptions {
  /** `NAMESPACE/POLICY` of the access policies that identify callers; no other counts. */
  readonly accessPolicies: readonly string[];
  /** In the form of `TALLYGATE_CONSOLE_OPERATORS`. */
  readonly operators: string;
}

type AskedServer = Pick<PushServer, 'sidecars' | 'askConsole'>;

/** Both travel to each gateway. */
const MAX_CREDENTIAL_CHARACTERS = 16_384;
const MAX_QUERY_CHARACTERS = 4_096;

export class ClusterConsole {
  readonly #options: ClusterConsoleOptions;
  /** Undefined: another replica leads, which has the streams of the sidecars. */
  readonly #server: () => AskedServer | undefined;

  constructor(options: ClusterConsoleOptions, server: () => AskedServer | undefined) {
    this.#options = options;
    this.#server = server;
  }

  async answer(request: ConsoleRequest): Promise<ConsoleAnswer> {
    const foreign = refusedOrigin(request);
    if (foreign !== undefined) {
      return refused(403, foreign);
    }
    const server = this.#server();
    if (server === undefined) {
      return refused(503, 'Another replica of the controller leads. Try again.');
    }
    const { authorization, 'x-api-key': apiKey } = request.credential;
    if (authorization === undefined && apiKey === undefined) {
      return refused(401, 'Send an API key or a token as authorization: Bearer.');
    }
    const characters = Math.max(authorization?.length ?? 0, apiKey?.length ?? 0);
    if (characters > MAX_CREDENTIAL_CHARACTERS || request.query.toString().length > MAX_QUERY_CHARACTERS) {
      return refused(413, 'The credential or the query is too long.');
    }
    return await this.#ask(server, request, {
      ...(authorization !== undefined && { authorization }),
      ...(apiKey !== undefined && { apiKey }),
      accessPolicies: [...this.#options.accessPolicies],
      operators: this.#options.operators,
    });
  }

  async #ask(server: AskedServer, request: ConsoleRequest, content: ConsoleContent): Promise<ConsoleAnswer> {
    const { method, path } = request;
    const all = server.sidecars();
    const asked = all.filter(mayBeAsked);
    const call = callOf(request);
    if (call.name === 'POST streams/ID/stop') {
      return await stopped(server, asked, call.id, { ...content, method });
    }
    const ask: AskGateways = (query, podUids) => {
      const sidecars = asked.filter(({ pod }) => podUids?.includes(pod.podUid) ?? true);
      return answersOf(server, sidecars, { ...content, method, path, query: query.toString() });
    };
    if (isAboutStore(call.name)) {
      const { answer, answered } = await answerWithStore(call.name, request.query, ask);
      return withUnanswered(answer, all.length - answered);
    }
    const answers = await ask(request.query);
    return withUnanswered(clusterAnswer(call.name, answers), all.length - answers.length);
  }
}

async function stopped(
  server: AskedServer,
  asked: readonly ConnectedSidecar[],
  id: string,
  content: ConsoleContent,
): Promise<ConsoleAnswer> {
  const stream = streamOfCluster(id);
  const owner = asked.filter(({ pod }) => pod.podUid === stream?.podUid);
  if (stream === undefined || owner.length === 0) {
    return refused(404, 'No gateway has this request; it may have ended with its pod.');
  }
  const question = { ...content, path: `streams/${stream.id}/stop` };
  return clusterAnswer('POST streams/ID/stop', await answersOf(server, owner, question));
}

/** Whoever can create or enter a pod elsewhere could read the credentials of callers. */
function mayBeAsked({ answersConsole, mayHaveSecrets }: ConnectedSidecar): boolean {
  return answersConsole && mayHaveSecrets;
}

async function answersOf(
  server: AskedServer,
  sidecars: readonly ConnectedSidecar[],
  question: ConsoleContent,
): Promise<readonly GatewayAnswer[]> {
  const answers = await Promise.all(
    sidecars.map(async ({ pod: { podName, podUid } }) => {
      const answer = await server.askConsole(podUid, question);
      return answer === undefined ? [] : [{ gateway: podName, podUid, answer }];
    }),
  );
  return answers.flat();
}

/** Tells of gateways whose rows are missing. */
function withUnanswered({ status, body }: ConsoleAnswer, unanswered: number): ConsoleAnswer {
  return { status, body: 'rows' in body && unanswered > 0 ? { ...body, unanswered } : body };
}

function refused(status: number, message: string): ConsoleAnswer {
  return { status, body: { error: { message } } };
}
