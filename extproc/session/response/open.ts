/** Reads the headers of a response and chooses how its body is handled. */
import {
  AWS_ERROR_TYPE_HEADER,
  CONTENT_HEADER,
  DROPPED_HEADER,
  PROVIDER_REQUEST_ID_HEADERS,
  REPLY_HEADER,
} from '../../../contract/headers.ts';
import { isInflatable } from '../../compression/inflate.ts';
import { envoyFailure, type Failure } from '../../errors.ts';
import { firstHeader, type HeaderList, headerValues } from '../../exchange.ts';
import { interruptionOf } from '../../interruption.ts';
import type { ResponseConversion } from '../../providers/adapter.ts';
import { awaitsToken, type FailedAttempt, failedAttempt, type ResponseOutcome, withRetry } from '../failover.ts';
import { hideConvertedProvider, hideFromClient } from '../hidden-headers.ts';
import type { Action, ActionOf, EventOf } from '../protocol.ts';
import { idHeader, isLocalReply, limitHeaders, localReplyMutation } from '../replies.ts';
import { AwaitedToken } from './awaited-token.ts';
import { ConvertedErrorResponse } from './converted-error.ts';
import { encodingOf, isEventStream, unreadableEncoding } from './form.ts';
import { GuardedErrorResponse, withheldError } from './guarded-error.ts';
import type { ExaminedContext, MeteredContext, ResponseContext, ResponseHandler } from './handler.ts';
import { IncomingBody, NO_BYTES } from './metered.ts';
import { type PassthroughOptions, PassthroughResponse } from './passthrough.ts';
import { UndecidedResponse } from './undecided.ts';

/** For a response that claims success and has no body. */
const BAD_GATEWAY = 502;

type HeaderEntry = HeaderList[number];

export interface ResponseHead extends ResponseOutcome {
  readonly providerRequestId: string | undefined;
}

export interface OpenedResponse {
  readonly head: ResponseHead;
  readonly handler: ResponseHandler;
  /** Present where the backend must rest. */
  readonly failed: FailedAttempt | undefined;
}

export function openResponse(
  context: ResponseContext,
  event: EventOf<'response-headers'>,
  nowMs: number,
  out: Action[],
): OpenedResponse {
  const { headers, endOfStream, codeDetails } = event;
  const { dialect, requestId, metered, snapshots } = context;
  const contentType = firstHeader(headers, 'content-type');
  const status = Number(firstHeader(headers, ':status'));
  if (isLocalReply(codeDetails, status, contentType)) {
    const problem = envoyFailure(status);
    const head = localHead(status, problem, `- ${codeDetails}`);
    const failed = failedAttempt(context.failover, head, headers, nowMs);
    const mutation = localReplyMutation(dialect, problem, snapshots, nowMs, requestId);
    out.push({ type: 'response-headers', mutation: withRetry(mutation, failed) });
    return { head, handler: unread(context, { ended: true, unreadable: false }), failed };
  }
  const reply = status >= 500 ? firstHeader(headers, REPLY_HEADER) : undefined;
  const head = reply === undefined ? providerHead(status, headers) : localHead(status, envoyFailure(status), reply);
  const failed = failedAttempt(context.failover, head, headers, nowMs);
  const counted = metered !== undefined && status >= 200 && status < 300;
  const encoding = counted ? encodingOf(headerValues(headers, 'content-encoding')) : '';
  const unreadable = encoding !== '' && !isInflatable(encoding);
  if (unreadable && !mayPassUnread(metered!, encoding)) {
    const refused = unreadableEncoding(encoding);
    return { head, handler: unread(context, { ended: true, unreadable: true, refused }), failed };
  }
  const readable = counted && !unreadable;
  const conversion = metered?.adapter.conversion;
  if (conversion !== undefined && (!readable || endOfStream)) {
    return openConvertedError(context, metered!, event, { head, failed }, nowMs, out);
  }
  const guard = metered?.guard;
  const examined = metered ?? (status < 200 || status >= 300 ? context.unmetered : undefined);
  if (examined?.guard !== undefined && !counted && !endOfStream) {
    return openGuardedError(context, examined, headers, { head, failed }, nowMs, out);
  }
  const isStream = readable && (metered.streamed || isEventStream(contentType));
  const relayed = isStream || (readable && (conversion !== undefined || guard !== undefined));
  const inflating = readable && encoding !== '';
  if (inflating) {
    out.push({ type: 'inflate', encoding });
  }
  // A relayed body leaves as plain text, and may be edited.
  const remove: string[] = relayed ? ['content-length'] : [];
  if (relayed && inflating) {
    remove.push('content-encoding');
  }
  const limits = limitHeaders(dialect, snapshots, nowMs);
  hideFromClient(headers, limits, remove);
  const set = [...ownHeaders(context), ...limits];
  if (conversion !== undefined) {
    convertHeaders(headers, conversion, metered!.streamed, { set, remove });
  }
  const mutation = withRetry({ set, remove }, failed);
  const action: ActionOf<'response-headers'> = { type: 'response-headers', mutation };
  if (!readable) {
    out.push(action);
    return { head, handler: unread(context, { ended: endOfStream, unreadable }), failed };
  }
  const expected = isStream || conversion !== undefined ? 'stream' : 'unary';
  const incoming = new IncomingBody(relayed, inflating, expected);
  const handler = new UndecidedResponse(metered, incoming);
  handler.ended = endOfStream;
  const waits = (conversion !== undefined && !metered.streamed) || (guard !== undefined && !isStream);
  if (waits && !endOfStream) {
    incoming.heldHeaders = action;
    return { head, handler, failed };
  }
  if (relayed && !endOfStream && awaitsToken(context.failover)) {
    return { head, handler: new AwaitedToken(handler, action), failed };
  }
  out.push(action);
  return { head, handler, failed };
}

/** Opens an error of a provider that speaks another API, or a response without a body. */
function openConvertedError(
  context: ResponseContext,
  metered: MeteredContext,
  { headers, endOfStream }: EventOf<'response-headers'>,
  { head, failed }: Pick<OpenedResponse, 'head' | 'failed'>,
  nowMs: number,
  out: Action[],
): OpenedResponse {
  const { dialect, snapshots } = context;
  const conversion = metered.adapter.conversion!;
  const status = head.status >= 300 ? head.status : BAD_GATEWAY;
  const limits = limitHeaders(dialect, snapshots, nowMs);
  const set = [...ownHeaders(context), ...limits];
  const remove = ['content-length', 'content-encoding'];
  hideFromClient(headers, limits, remove);
  convertHeaders(headers, conversion, false, { set, remove });
  const encoding = encodingOf(headerValues(headers, 'content-encoding'));
  const inflating = isInflatable(encoding);
  const incoming = new IncomingBody(true, inflating);
  const errorType = firstHeader(headers, AWS_ERROR_TYPE_HEADER);
  const mutation = withRetry({ set, remove }, failed);
  const action: ActionOf<'response-headers'> = { type: 'response-headers', mutation };
  const inflate: Action = { type: 'inflate', encoding };
  if (metered.guard !== undefined && !endOfStream) {
    const convert = (document: Uint8Array) => conversion.error(status, document, errorType);
    const { status: clientStatus } = conversion.error(status, NO_BYTES);
    set.push([':status', String(clientStatus)]);
    out.push(...(inflating ? [inflate] : []));
    const form = { status: clientStatus, dialect, convert };
    const guarded = new GuardedErrorResponse(metered, incoming, action, form);
    return { head: { ...head, status: clientStatus }, handler: guarded, failed };
  }
  const handler = new ConvertedErrorResponse(metered, incoming, conversion, status, action, errorType);
  if (endOfStream) {
    handler.withoutBody(out);
  } else if (inflating) {
    out.push(inflate);
  }
  return { head: { ...head, status: handler.status }, handler, failed };
}

/** Opens an error at which guardrails look. */
function openGuardedError(
  context: ResponseContext,
  examined: ExaminedContext,
  headers: HeaderList,
  { head, failed }: Pick<OpenedResponse, 'head' | 'failed'>,
  nowMs: number,
  out: Action[],
): OpenedResponse {
  const { dialect, snapshots } = context;
  const { status } = head;
  const encoding = encodingOf(headerValues(headers, 'content-encoding'));
  const inflating = encoding !== '';
  const unreadable = inflating && !isInflatable(encoding);
  if (unreadable && examined.guard!.unexamined('unreadable_response') !== undefined) {
    const options = { ended: true, unreadable: false, refused: withheldError(status) };
    return { head, handler: unread(context, options), failed };
  }
  const limits = limitHeaders(dialect, snapshots, nowMs);
  const remove = unreadable ? [] : ['content-length', 'content-encoding'];
  hideFromClient(headers, limits, remove);
  const mutation = withRetry({ set: [...ownHeaders(context), ...limits], remove }, failed);
  const action: ActionOf<'response-headers'> = { type: 'response-headers', mutation };
  if (unreadable) {
    out.push(action);
    return { head, handler: unread(context, { ended: false, unreadable: false }), failed };
  }
  if (inflating) {
    out.push({ type: 'inflate', encoding });
  }
  const incoming = new IncomingBody(true, inflating);
  const form = { status, dialect, convert: undefined };
  return { head, handler: new GuardedErrorResponse(examined, incoming, action, form), failed };
}

const CONTENT_KEPT: HeaderEntry = [CONTENT_HEADER, 'kept'];

function ownHeaders({ requestId, keepsContent }: ResponseContext): readonly HeaderEntry[] {
  return keepsContent ? [...idHeader(requestId), CONTENT_KEPT] : idHeader(requestId);
}

/** Describes a converted body, and removes what describes the provider's. */
function convertHeaders(
  headers: HeaderList,
  { dropped }: ResponseConversion,
  streamed: boolean,
  { set, remove }: { readonly set: HeaderEntry[]; readonly remove: string[] },
): void {
  set.push(['content-type', streamed ? 'text/event-stream; charset=utf-8' : 'application/json']);
  if (dropped.length > 0) {
    set.push([DROPPED_HEADER, dropped.join(', ')]);
  }
  hideConvertedProvider(headers, remove);
}

/** Guardrails decide too whether a response that they cannot read may pass. */
function mayPassUnread({ guard, mayPassUnread: mayPass }: MeteredContext, encoding: string): boolean {
  return mayPass(encoding) && guard?.unexamined('unreadable_response') === undefined;
}

function unread({ metered }: ResponseContext, options: PassthroughOptions): PassthroughResponse {
  if (metered?.lease !== undefined) {
    metered.lease.reclaimable = false;
  }
  return new PassthroughResponse(options);
}

function localHead(status: number, problem: Failure, reply: string): ResponseHead {
  return {
    status,
    failure: problem,
    interruption: status >= 500 ? interruptionOf(reply) : undefined,
    providerRequestId: undefined,
  };
}

function providerHead(status: number, headers: HeaderList): ResponseHead {
  const id = headers.find(([name, value]) => value !== '' && PROVIDER_REQUEST_ID_HEADERS.includes(name))?.[1];
  return { status, failure: undefined, interruption: undefined, providerRequestId: id };
}

/** Whether the response counts as a success for outlier detection. */
export function isBackendWell({ status, failure }: ResponseHead): boolean {
  // 429 in a local reply comes from a rate limit in Envoy, not from the backend.
  return status < 500 && (status !== 429 || failure !== undefined);
}
