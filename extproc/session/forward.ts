/** Sends an admitted request to its backend, and sets up how its response will be read. Pure. */
import type { Failover } from '../../contract/policy.ts';
import type { HeaderMutation } from '../exchange.ts';
import type { ResponseAdapter, ResponseOptions, UnaryReader } from '../providers/adapter.ts';
import { azurePath } from '../providers/azure/paths.ts';
import { drawsTokens } from '../quota/units.ts';
import type { Admission, Held } from './admission/admission.ts';
import { hasOtherBackend } from './admission/select-backend.ts';
import { attemptMutation, type BackendRequest } from './attempt-request.ts';
import type { Attempts } from './attempts.ts';
import { attemptOf, type FailoverContext } from './failover.ts';
import { firstTokenKey } from './load-balancer.ts';
import type { Action } from './protocol.ts';
import { outputBound, type PreparedRequest, type Request } from './request.ts';
import { requestLabels } from './request-labels.ts';
import type { ExaminedContext, MeteredContext, ResponseContext } from './response/handler.ts';
import { Lease } from './response/lease.ts';
import { responseGuard } from './response-guard.ts';
import { newTextSample, sampleOf } from './sample.ts';
import type { Forwarded, SessionContext } from './state.ts';

type ResponseParts = Pick<SessionContext, 'newMeter'>;

export function forward(admission: Admission, parts: ResponseParts, nowMs: number, out: Action[]): Forwarded {
  const { request, prepared } = admission;
  if (prepared !== undefined) {
    return forwardCollected(admission, prepared, parts, nowMs, out);
  }
  const mutation = request.mutation(admission.passthrough!.passthrough.target);
  out.push({ type: 'request-headers', mutation: traced(admission, mutation, nowMs) });
  request.passthroughBody!.forward(out);
  return uncountedResponse(admission, nowMs);
}

function forwardCollected(
  admission: Admission,
  prepared: PreparedRequest,
  parts: ResponseParts,
  nowMs: number,
  out: Action[],
): Forwarded {
  const { request, attempts } = admission;
  if (attempts !== undefined) {
    sendPlaceholder(request, attempts, out);
    return forwardedTo(admission, prepared, parts, nowMs);
  }
  const sent = backendRequest(admission, prepared);
  const { pieces, ...described } = sent;
  const streamed = isMetered(request) && prepared.choice.facts.stream;
  const mutation = request.mutation(prepared.choice.target.id, { ...described, streamed });
  out.push({ type: 'request-headers', mutation: traced(admission, mutation, nowMs) });
  sendBody(request, pieces, out);
  return isMetered(request) ? forwardedTo(admission, prepared, parts, nowMs) : uncountedResponse(admission, nowMs);
}

/** Sends an attempt to its backend. */
export function forwardAttempt(
  admission: Admission,
  attempts: Attempts,
  prepared: PreparedRequest,
  parts: ResponseParts,
  nowMs: number,
  out: Action[],
): Forwarded {
  const sent = backendRequest(admission, prepared);
  const mutation = attemptMutation(admission.request, attempts, prepared, sent);
  out.push({ type: 'attempt-request', mutation: traced(admission, mutation, nowMs) });
  return forwardedTo(admission, prepared, parts, nowMs);
}

/** Tells the backend the span of this attempt. */
function traced({ request: { trace }, held }: Admission, mutation: HeaderMutation, nowMs: number): HeaderMutation {
  return trace === undefined
    ? mutation
    : { ...mutation, set: [...(mutation.set ?? []), trace.beginAttempt(nowMs, held)] };
}

/** Sets up how the response of a backend will be read. */
function forwardedTo(admission: Admission, prepared: PreparedRequest, parts: ResponseParts, nowMs: number): Forwarded {
  const { request, held } = admission;
  const { facts, tokenizer, backendModel, rule, target } = prepared.choice;
  prepared.input.sample = sampleOf(prepared.body!, tokenizer, backendModel);
  const leases = held !== undefined && prepared.plan.output.mode !== 'none';
  const lease = leases ? new Lease(held.hold, held.outputTokens, () => recountInput(prepared, held)) : undefined;
  if (lease !== undefined && prepared.plan.output.mode === 'lease') {
    lease.hold.holder = lease;
  }
  const hideUsage = hidesUsage(request, prepared);
  const context: MeteredContext = {
    adapter: adapterOf(request, prepared, {
      hideUsage,
      model: facts.model,
      createdMs: nowMs,
      requestId: request.id,
      isTraced: request.trace !== undefined,
    }),
    newMeter: () => parts.newMeter(tokenizer, backendModel),
    newSample: () => newTextSample(tokenizer, backendModel),
    lease,
    inputTokens: () => prepared.input.likely(),
    hasOutput: facts.hasOutput,
    streamed: facts.stream,
    guard: responseGuard(admission),
    content: admission.content?.answer,
    mayPassUnread: (encoding) => mayPassUnread(admission, prepared, encoding),
  };
  return {
    phase: 'forwarded',
    sinceMs: nowMs,
    prepared,
    held,
    lease,
    context: responseContext(admission, { metered: context }, failoverOf(admission)),
    head: undefined,
    response: undefined,
    firstTokenKey: rule.rule.loadBalancer === 'LeastLatency' ? firstTokenKey(target, facts) : undefined,
    failed: undefined,
  };
}

/** Whether the client did not ask for the usage that we ask the provider for. */
function hidesUsage(request: Request, { choice: { facts }, converted }: PreparedRequest): boolean {
  return isMetered(request) && facts.stream && !facts.usageAsked && converted === undefined;
}

function backendRequest(admission: Admission, prepared: PreparedRequest): BackendRequest {
  const { request, held } = admission;
  const { endpoint } = request.found!;
  const { facts, target, backendModel } = prepared.choice;
  const { backendPolicy } = target;
  const labels = requestLabels(admission, prepared.choice);
  const converted = prepared.converted?.finish(outputBound(prepared, held?.outputTokens));
  const pieces = converted
    ? [converted.body]
    : request.outgoing(prepared, held?.outputTokens, hidesUsage(request, prepared), labels);
  const bodyBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const own = converted?.path ?? endpoint.providerPath?.(facts, backendModel, backendPolicy);
  const path = azurePath(backendPolicy, own ?? request.path, backendModel) ?? own;
  // A conversion has set its labels already.
  const headersOf = converted === undefined ? endpoint.labelHeaders : undefined;
  const labelHeaders = labels && (headersOf?.(labels, backendPolicy) ?? []);
  return { pieces, bodyBytes, path, converted, labelHeaders };
}

const placeholder = Buffer.from('{}');

/** Sends a body that each attempt replaces; Envoy keeps it for retries. */
function sendPlaceholder(request: Request, attempts: Attempts, out: Action[]): void {
  const body = { streamed: attempts.streams, bodyBytes: placeholder.length, path: undefined, converted: undefined };
  const mutation = request.mutation(attempts.route, body);
  out.push({ type: 'request-attempts', mutation, targets: attempts.targets });
  sendBody(request, [placeholder], out);
}

function sendBody(request: Request, pieces: readonly Uint8Array[], out: Action[]): void {
  for (const [index, bytes] of pieces.entries()) {
    const endOfStream = index === pieces.length - 1 && !request.endedByTrailers;
    out.push({ type: 'request-body', bytes, endOfStream });
  }
  if (request.endedByTrailers) {
    out.push({ type: 'request-trailers' });
  }
}

function adapterOf(
  { found }: Request,
  { choice, converted, input }: PreparedRequest,
  options: ResponseOptions,
): ResponseAdapter {
  return (
    converted?.response(choice.facts, { ...options, inputTokens: () => input.likely() }) ??
    found!.endpoint.response!(choice.facts, options)
  );
}

/**
 * Sets up a response that will pass uncounted: of passthrough, of `free` endpoints, or, without
 * `sinceMs`, of Envoy itself.
 */
export function uncountedResponse(admission: Admission, sinceMs: number | undefined): Forwarded {
  const isForwarded = sinceMs !== undefined;
  return {
    phase: 'forwarded',
    sinceMs,
    prepared: isForwarded ? admission.prepared : undefined,
    held: isForwarded ? admission.held : undefined,
    lease: undefined,
    context: isForwarded
      ? responseContext(admission, { unmetered: unmeteredContext(admission) }, failoverOf(admission))
      : responseContext(admission, {}, undefined),
    head: undefined,
    response: undefined,
    firstTokenKey: undefined,
    failed: undefined,
  };
}

/** Reports the time until the first token, or that none has come so far. */
export function timeFirstToken(forwarded: Forwarded | undefined, nowMs: number, came: boolean, out: Action[]): void {
  const { firstTokenKey: key, head, sinceMs } = forwarded ?? {};
  if (forwarded === undefined || key === undefined || sinceMs === undefined) {
    return;
  }
  forwarded.firstTokenKey = undefined;
  if (head === undefined || head.status < 300) {
    out.push({ type: 'first-token', key, ms: nowMs - sinceMs, came });
  }
}

/** Returns undefined where no first-token timeout applies. */
export function firstTokenTimeoutMs({ request, choice }: Admission): number | undefined {
  return choice?.facts.stream && isMetered(request) ? choice.rule.rule.firstTokenTimeoutMs : undefined;
}

function isMetered({ found }: Request): boolean {
  return found?.endpoint.kind === 'metered';
}

function responseContext(
  { request, snapshots, content }: Admission,
  { metered, unmetered }: { readonly metered?: MeteredContext; readonly unmetered?: ExaminedContext | undefined },
  failover: FailoverContext | undefined,
): ResponseContext {
  return {
    dialect: request.dialect,
    requestId: request.id,
    snapshots,
    metered,
    unmetered,
    failover,
    keepsContent: content?.isNotified === true,
  };
}

/** Reads nothing, because nothing is counted. */
const noReader: UnaryReader = {
  push() {},
  release() {},
  usage: undefined,
  responseModel: undefined,
  serviceTier: undefined,
  broken: false,
};

/** Returns undefined where no guardrail looks at errors. */
function unmeteredContext(admission: Admission): ExaminedContext | undefined {
  const guard = admission.prepared && responseGuard(admission);
  if (guard === undefined) {
    return undefined;
  }
  const { tokenizer, backendModel } = admission.prepared!.choice;
  return {
    adapter: { unary: noReader },
    newSample: () => newTextSample(tokenizer, backendModel),
    lease: undefined,
    hasOutput: false,
    streamed: false,
    content: undefined,
    guard,
  };
}

/** Without failover, a backend rests only while a rate limit of its provider is spent. */
const restsOnly: Failover = { on: [], attempts: 1, cooldownMs: 0 };

function failoverOf(admission: Admission): FailoverContext | undefined {
  const { request, prepared, context } = admission;
  const { loadBalancer, failover = loadBalancer && restsOnly } = prepared?.choice.rule.rule ?? {};
  return (
    failover && {
      failover,
      attempt: attemptOf(request.header) + (admission.attempts?.before ?? 0),
      hasOther: () => hasOtherBackend(request.found!.endpoint, prepared!.choice, context.restsUntil),
      limitsFirstToken: firstTokenTimeoutMs(admission) !== undefined,
    }
  );
}

/**
 * An encoding that cannot be read passes where no quota counts tokens, or where the client asked
 * for it.
 */
function mayPassUnread({ request, buckets }: Admission, { choice }: PreparedRequest, encoding: string): boolean {
  const asked = !choice.facts.stream && request.accepts(encoding);
  const counts = buckets.some(({ quota }) => drawsTokens(quota) && quota.mode === 'Enforce');
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
