/**
 * Reserves for a prepared request, sends it to its backend, and sets up how its response will be
 * read. Pure.
 */
import type { Tokenizer } from '../../contract/policy.ts';
import type { BucketSnapshot, Demand } from '../quota/store.ts';
import { drawOn, drawsInput, drawsTokens } from '../quota/units.ts';
import type { Meter } from '../tokens/meter.ts';
import type { Action } from './protocol.ts';
import type { PreparedRequest, Request } from './request.ts';
import type { MeteredContext, ResponseContext } from './response/handler.ts';
import { Lease } from './response/lease.ts';
import { newTextSample, sampleOf } from './sample.ts';
import type { Forwarded, Held } from './state.ts';

interface ForwardContext {
  readonly snapshots: readonly BucketSnapshot[];
  readonly newMeter: (tokenizer: Tokenizer, model: string) => Meter;
}

/** What the request asks of the quota store; of passthrough only its number counts. */
export function quotaDemand(
  { buckets }: Request,
  prepared: PreparedRequest | undefined,
  id: string,
  atMs: number,
): Demand {
  const { input, plan } = prepared ?? {};
  return {
    id,
    atMs,
    draws: buckets.map(drawOn),
    inputTokens: input?.most ?? 0,
    inputCounted: input?.text !== undefined || !buckets.some(({ quota }) => drawsInput(quota)),
    ...input?.leastOfDemand,
    output: plan?.output ?? { mode: 'none', want: 0, least: 0 },
  };
}

export function forward(
  request: Request,
  prepared: PreparedRequest,
  held: Held | undefined,
  context: ForwardContext,
  nowMs: number,
  out: Action[],
): Forwarded {
  const { facts, tokenizer, backendModel } = prepared.choice;
  const metered = isMetered(request);
  const hideUsage = metered && facts.stream && !facts.usageAsked;
  sendRequest(request, prepared, held, hideUsage, out);
  if (!metered) {
    return uncountedResponse(request, context, { sinceMs: nowMs, held, prepared });
  }
  prepared.input.sample = sampleOf(prepared.body!, tokenizer, backendModel);
  const leases = held !== undefined && prepared.plan.output.mode !== 'none';
  const lease = leases ? new Lease(held.hold, held.outputTokens, () => recountInput(prepared, held)) : undefined;
  if (lease !== undefined && prepared.plan.output.mode === 'lease') {
    lease.hold.holder = lease;
  }
  return {
    phase: 'forwarded',
    sinceMs: nowMs,
    prepared,
    held,
    lease,
    context: responseContext(request, context, {
      readers: request.found!.endpoint.answer!(facts, { hideUsage, model: facts.model }),
      newMeter: () => context.newMeter(tokenizer, backendModel),
      newSample: () => newTextSample(tokenizer, backendModel),
      lease,
      inputTokens: () => prepared.input.likely(),
      hasOutput: facts.hasOutput,
      streamed: facts.stream,
      mayPassUnread: (encoding) => mayPassUnread(request, prepared, encoding),
    }),
    head: undefined,
    response: undefined,
  };
}

function sendRequest(
  request: Request,
  prepared: PreparedRequest,
  held: Held | undefined,
  askUsage: boolean,
  out: Action[],
): void {
  const { facts, target } = prepared.choice;
  const pieces = request.outgoing(prepared, held?.outputTokens, askUsage);
  const bodyBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const mutation = request.mutation(target.id, { streamed: isMetered(request) && facts.stream, bodyBytes });
  out.push({ type: 'request-headers', mutation });
  for (const [index, bytes] of pieces.entries()) {
    const endOfStream = index === pieces.length - 1 && !request.endedByTrailers;
    out.push({ type: 'request-body', bytes, endOfStream });
  }
  if (request.endedByTrailers) {
    out.push({ type: 'request-trailers' });
  }
}

/** A response that will pass uncounted: of passthrough, of `free` endpoints, or of Envoy itself. */
export function uncountedResponse(
  request: Request,
  context: Pick<ForwardContext, 'snapshots'>,
  { sinceMs, held, prepared }: Partial<Pick<Forwarded, 'sinceMs' | 'held' | 'prepared'>>,
): Forwarded {
  return {
    phase: 'forwarded',
    sinceMs,
    prepared,
    held,
    lease: undefined,
    context: responseContext(request, context, undefined),
    head: undefined,
    response: undefined,
  };
}

/** Returns undefined where no first-token timeout applies. */
export function firstTokenTimeoutMs(request: Request, { choice }: PreparedRequest): number | undefined {
  return isMetered(request) && choice.facts.stream ? choice.rule.rule.firstTokenTimeoutMs : undefined;
}

function isMetered({ found }: Request): boolean {
  return found?.endpoint.kind === 'metered';
}

function responseContext(
  { dialect, id: requestId }: Request,
  { snapshots }: Pick<ForwardContext, 'snapshots'>,
  metered: MeteredContext | undefined,
): ResponseContext {
  return { dialect, requestId, snapshots, metered };
}

/**
 * An encoding that cannot be read passes where no quota counts tokens, or where the client asked
 * for it.
 */
function mayPassUnread(request: Request, { choice }: PreparedRequest, encoding: string): boolean {
  const asked = !choice.facts.stream && request.accepts(encoding);
  const counts = request.buckets.some(({ quota }) => drawsTokens(quota) && quota.mode === 'Enforce');
  return asked || !counts;
}

/**
 * Counts the prompt although its bytes were enough for the reservation; returns what is held from
 * now on.
 */
function recountInput({ input }: PreparedRequest, held: Held): number | undefined {
  if (!input.countExactly()) {
    return undefined;
  }
  held.inputTokens = input.most;
  return held.inputTokens;
}
