/**
 * The calls of a cluster's console whose rows the shared store keeps, too: usage and single
 * requests, also of gateways that have ended.
 */
import type { UsageSet } from '../../extproc/quota/usage-share.ts';
import type { ConsoleAnswer } from './api.ts';
import { clusterAnswer, type GatewayAnswer, SHARED_STORE } from './cluster-answers.ts';

/** Asks the gateways with this query, or only some pods, and returns the answers that came. */
export type AskGateways = (query: URLSearchParams, podUids?: readonly string[]) => Promise<readonly GatewayAnswer[]>;

/** Gateways that are asked for the shared store until one answers. */
const ASKED_FOR_STORE = 3;

/** Which rows each gateway has that the store may not have. */
const ownSets: ReadonlyMap<string, UsageSet> = new Map([
  ['GET usage', 'unshared'],
  ['GET requests', 'local'],
]);

export function isAboutStore(call: string): boolean {
  return ownSets.has(call);
}

/**
 * Asks all gateways for their own rows, and then one for those of the store: a gateway first sends
 * what it has, so nothing counts twice. `answered` is how many gateways answered.
 */
export async function answerWithStore(
  call: string,
  query: URLSearchParams,
  ask: AskGateways,
): Promise<{ readonly answer: ConsoleAnswer; readonly answered: number }> {
  const own = await ask(withSet(query, ownSets.get(call)!));
  const sharing = own.filter(({ answer: { status, body } }) => status === 200 && 'sharesStore' in body);
  const shared = await storeAnswer(
    sharing.map(({ podUid }) => podUid),
    withSet(query, 'shared'),
    ask,
  );
  const { status, body } = clusterAnswer(call, [...own, ...shared]);
  const isWithout = status === 200 && sharing.length > 0 && shared.length === 0;
  return { answer: { status, body: isWithout ? { ...body, withoutStore: true } : body }, answered: own.length };
}

async function storeAnswer(
  podUids: readonly string[],
  query: URLSearchParams,
  ask: AskGateways,
): Promise<readonly GatewayAnswer[]> {
  for (const podUid of podUids.slice(0, ASKED_FOR_STORE)) {
    const found = (await ask(query, [podUid])).filter(({ answer }) => answer.status === 200);
    if (found.length > 0) {
      return found.map((one) => ({ ...one, gateway: SHARED_STORE }));
    }
  }
  return [];
}

function withSet(query: URLSearchParams, of: UsageSet): URLSearchParams {
  const asked = new URLSearchParams(query);
  asked.set('of', of);
  return asked;
}
