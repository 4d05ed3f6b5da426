/**
 * The attributes of spans. Those with `gen_ai.` follow OpenTelemetry's conventions: by default
 * version 1.41, the last one that was released with the general conventions; `latest` adds what
 * https://github.com/open-telemetry/semantic-conventions-genai has changed since.
 */
import type { AttributeValue } from '@opentelemetry/api';
import { currencyUnits } from '../../../contract/money.ts';
import type { AttemptRecord, GuardCall } from '../../record.ts';
import type { Usage } from '../../usage.ts';
import { attribute, PROVIDER_NAMES } from '../names.ts';
import type { TracedCaller, TracedRequest } from './traced-request.ts';

/** Takes an attribute; one without a value is left out. */
export type PutAttribute = (name: string, value: AttributeValue | undefined) => void;

export interface SpanNaming {
  /** Whether names of the development version replace older ones. */
  readonly latest: boolean;
  readonly openInference: boolean;
}

export function putRequest(put: PutAttribute, request: TracedRequest): void {
  const { caller, cost, decision, agent, conversion } = request;
  const isForwarded = request.trace.attempts.length > 0;
  put('http.request.method', request.method);
  put('http.route', httpRoute(request));
  put('url.path', request.path);
  put('http.response.status_code', request.status);
  put('http.request.body.size', request.requestBytes);
  put('http.response.body.size', request.responseBytes);
  put(attribute.errorType, request.error);
  // Only attempts are calls of a model, so that nothing counts them twice.
  put(attribute.operation, isForwarded ? undefined : request.operation);
  put(attribute.requestModel, isForwarded ? undefined : request.model);
  put('tallygate.request.id', request.requestId);
  put(attribute.route, request.route);
  put(attribute.rule, request.rule);
  put(attribute.backend, request.backend);
  if (caller !== undefined) {
    putCaller(put, caller);
  }
  put(attribute.decision, decision.type);
  put(attribute.quota, decision.type === 'refused' ? decision.quota : undefined);
  put(attribute.reason, decision.type === 'refused' ? decision.reason : undefined);
  put('tallygate.cost', cost && currencyUnits(cost.nanos));
  put(attribute.currency, cost?.currency);
  put('tallygate.price_catalog', cost?.catalog);
  put(attribute.source, request.source);
  put('tallygate.unmetered', request.unmetered || undefined);
  put('tallygate.client_left', request.clientLeft || undefined);
  put(attribute.failure, request.backendFailure);
  put('tallygate.guardrail.calls', request.guard?.calls?.count);
  put('tallygate.converted_to', conversion?.providerApi);
  put('tallygate.dropped_fields', listed(conversion?.dropped ?? []));
  put('tallygate.agent.id', agent?.agentId);
  put('tallygate.agent.parent_id', agent?.parentAgentId);
}

function putCaller(put: PutAttribute, caller: TracedCaller): void {
  put(attribute.tenant, caller.tenant);
  put('tallygate.user', caller.user);
  put('tallygate.group', caller.group);
  put('tallygate.api_key', caller.apiKey);
  put(attribute.accessMethod, caller.method);
  put('tallygate.access.decision', caller.decision);
}

export function putAdmission(put: PutAttribute, request: TracedRequest): void {
  const { decision, quotas, trace } = request;
  const isRefused = decision.type === 'refused';
  const isDecided = decision.type === 'admitted' || decision.type === 'cut';
  const held = trace.attempts.at(-1)?.held;
  put(attribute.decision, decision.type === 'cut' ? 'admitted' : decision.type);
  put(attribute.quota, isRefused ? decision.quota : undefined);
  put(attribute.reason, isRefused ? decision.reason : undefined);
  put('tallygate.quotas', listed(quotas));
  put('tallygate.quota.wait', isDecided && decision.queuedMs > 0 ? decision.queuedMs / 1000 : undefined);
  put('tallygate.quota.shadow_refused', isDecided ? listed(decision.shadowRefused) : undefined);
  put('tallygate.held.input_tokens', held?.inputTokens);
  put('tallygate.held.output_tokens', held?.outputTokens);
  put(attribute.errorType, trace.attempts.length === 0 ? request.error : undefined);
}

/** Names of our own: the conventions have none for guardrails yet. */
export function putGuardCall(put: PutAttribute, call: GuardCall): void {
  put(attribute.guardrail, call.rule);
  put('tallygate.guardrail.phase', call.phase);
  put('tallygate.guardrail.detector', call.detector);
  put('tallygate.guardrail.verdict', call.verdict);
  put('tallygate.guardrail.count', call.verdict === undefined ? undefined : call.findings);
  put(attribute.errorType, call.error);
  putServer(put, call.url);
}

function putServer(put: PutAttribute, url: string): void {
  const { hostname, port, protocol } = new URL(url);
  put('server.address', hostname.replace(/^\[|\]$/g, ''));
  put('server.port', port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port));
}

/** Prompt and answer are JSON, as the conventions say for spans. */
export function putContent(put: PutAttribute, { content }: TracedRequest): void {
  const json = (value: unknown) => (value === undefined ? undefined : JSON.stringify(value));
  put('gen_ai.system_instructions', json(content?.instructions));
  put('gen_ai.input.messages', json(content?.input));
  put('gen_ai.output.messages', json(content?.output));
}

export function putAttempt(put: PutAttribute, request: TracedRequest, index: number, { latest }: SpanNaming): void {
  const { schema, stream, trace, agent } = request;
  const isLast = index === trace.attempts.length - 1;
  const record: AttemptRecord | undefined = request.attempts?.[index];
  put(attribute.operation, request.operation);
  put(attribute.provider, isLast && schema !== undefined ? (PROVIDER_NAMES[schema] ?? schema) : undefined);
  put(attribute.requestModel, request.model);
  putAsked(put, request);
  put('gen_ai.request.stream', stream || undefined);
  put('gen_ai.conversation.id', agent?.sessionId);
  put(attribute.backend, record?.backend ?? request.backend);
  put('tallygate.attempt', trace.attempts.length > 1 ? index + 1 : undefined);
  put('http.response.status_code', record === undefined ? request.status : record.status);
  put(attribute.errorType, attemptError(request, index));
  if (isLast) {
    putResponse(put, request, latest);
  }
}

/** What clients ask for most of all; reading more would take more of every request. */
function putAsked(put: PutAttribute, { asked, schema, conversion }: TracedRequest): void {
  put('gen_ai.request.max_tokens', asked?.outputTokens);
  put('gen_ai.request.choice.count', asked === undefined || asked.choices === 1 ? undefined : asked.choices);
  put('openai.request.service_tier', schema === 'OpenAI' && conversion === undefined ? asked?.serviceTier : undefined);
}

/** Puts what only the attempt that served has. */
function putResponse(put: PutAttribute, request: TracedRequest, latest: boolean): void {
  const { usage, schema, firstTokenMs, stream, trace } = request;
  const { startMs } = trace.attempts.at(-1)!;
  put('gen_ai.response.id', request.responseId);
  put(attribute.responseModel, request.responseModel);
  put('gen_ai.response.finish_reasons', request.finishReasons && [...request.finishReasons]);
  put(
    'gen_ai.response.time_to_first_chunk',
    stream && firstTokenMs !== undefined ? (firstTokenMs - startMs) / 1000 : undefined,
  );
  put('openai.response.service_tier', schema === 'OpenAI' ? request.serviceTier : undefined);
  put('tallygate.provider_request.id', request.providerRequestId);
  if (usage !== undefined) {
    putUsage(put, usage, latest);
  }
}

export function attemptError({ trace, attempts, error }: TracedRequest, index: number): string | undefined {
  if (index === trace.attempts.length - 1) {
    return error;
  }
  const { cause, status } = attempts?.[index] ?? {};
  return status === undefined ? (cause ?? 'no_answer') : String(status);
}

function putUsage(put: PutAttribute, usage: Usage, latest: boolean): void {
  put('gen_ai.usage.input_tokens', usage.input);
  put('gen_ai.usage.output_tokens', usage.output);
  put('gen_ai.usage.cache_read.input_tokens', usage.cachedInput || undefined);
  put('gen_ai.usage.reasoning.output_tokens', usage.reasoningOutput || undefined);
  if (!latest) {
    put('gen_ai.usage.cache_creation.input_tokens', usage.cacheWriteInput || undefined);
    return;
  }
  put('gen_ai.usage.cache_write.input_tokens', usage.cacheWriteInput || undefined);
  put('gen_ai.usage.audio.input_tokens', usage.audioInput || undefined);
  put('gen_ai.usage.audio.output_tokens', usage.audioOutput || undefined);
  put('gen_ai.usage.image.input_tokens', usage.imageInput || undefined);
  put('gen_ai.usage.image.output_tokens', usage.imageOutput || undefined);
}

/** Returns the path without what a client chooses, which must not be part of a name. */
export function httpRoute({ path, operation }: Pick<TracedRequest, 'path' | 'operation'>): string | undefined {
  return operation === undefined
    ? undefined
    : path
        .replace(/\/models\/[^:]+/, '/models/{model}')
        .replace(/\/model\/[^/]+/, '/model/{model}')
        .replace(/\/deployments\/[^/]+/, '/deployments/{deployment}');
}

function listed(values: readonly string[]): string[] | undefined {
  return values.length === 0 ? undefined : [...values];
}
