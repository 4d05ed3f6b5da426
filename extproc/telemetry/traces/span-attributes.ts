/**
 * The attributes of spans. Those with `gen_ai.` follow OpenTelemetry's conventions: by default
 * version 1.41, the last one that was released with the general conventions; `latest` adds what
 * https://github.com/open-telemetry/semantic-conventions-genai has changed since.
 */
import type { AttributeValue } from '@opentelemetry/api';
import { currencyUnits } from '../../../contract/money.ts';
import type { AttemptRecord } from '../../record.ts';
import type { Usage } from '../../usage.ts';
import { attribute, PROVIDER_NAMES } from '../names.ts';
import type { TracedRequest } from './traced-request.ts';

/** Undefined values are left out. */
export type SpanAttributes = Readonly<Record<string, AttributeValue | undefined>>;

export interface SpanNaming {
  /** Whether names of the development version replace older ones. */
  readonly latest: boolean;
  readonly openInference: boolean;
}

export function requestAttributes(request: TracedRequest): SpanAttributes {
  const { caller, cost, decision, agent, conversion } = request;
  const isForwarded = request.trace.attempts.length > 0;
  return {
    'http.request.method': request.method,
    'http.route': httpRoute(request),
    'url.path': request.path,
    'http.response.status_code': request.status,
    'http.request.body.size': request.requestBytes,
    'http.response.body.size': request.responseBytes,
    [attribute.errorType]: request.error,
    // Only attempts are calls of a model, so that nothing counts them twice.
    [attribute.operation]: isForwarded ? undefined : request.operation,
    [attribute.requestModel]: isForwarded ? undefined : request.model,
    'tallygate.request.id': request.requestId,
    [attribute.route]: request.route,
    [attribute.rule]: request.rule,
    [attribute.backend]: request.backend,
    [attribute.tenant]: caller?.tenant,
    'tallygate.user': caller?.user,
    'tallygate.group': caller?.group,
    'tallygate.api_key': caller?.apiKey,
    [attribute.accessMethod]: caller?.method,
    'tallygate.access.decision': caller?.decision,
    [attribute.decision]: decision.type,
    [attribute.quota]: decision.type === 'refused' ? decision.quota : undefined,
    [attribute.reason]: decision.type === 'refused' ? decision.reason : undefined,
    'tallygate.cost': cost && currencyUnits(cost.nanos),
    [attribute.currency]: cost?.currency,
    'tallygate.price_catalog': cost?.catalog,
    [attribute.source]: request.source,
    'tallygate.unmetered': request.unmetered || undefined,
    'tallygate.client_left': request.clientLeft || undefined,
    [attribute.failure]: request.backendFailure,
    'tallygate.converted_to': conversion?.providerApi,
    'tallygate.dropped_fields': listed(conversion?.dropped ?? []),
    'tallygate.agent.id': agent?.agentId,
    'tallygate.agent.parent_id': agent?.parentAgentId,
  };
}

export function admissionAttributes(request: TracedRequest): SpanAttributes {
  const { decision, quotas, trace } = request;
  const isRefused = decision.type === 'refused';
  const isDecided = decision.type === 'admitted' || decision.type === 'cut';
  const held = trace.attempts.at(-1)?.held;
  return {
    [attribute.decision]: decision.type === 'cut' ? 'admitted' : decision.type,
    [attribute.quota]: isRefused ? decision.quota : undefined,
    [attribute.reason]: isRefused ? decision.reason : undefined,
    'tallygate.quotas': listed(quotas),
    'tallygate.quota.wait': isDecided && decision.queuedMs > 0 ? decision.queuedMs / 1000 : undefined,
    'tallygate.quota.shadow_refused': isDecided ? listed(decision.shadowRefused) : undefined,
    'tallygate.held.input_tokens': held?.inputTokens,
    'tallygate.held.output_tokens': held?.outputTokens,
    [attribute.errorType]: trace.attempts.length === 0 ? request.error : undefined,
  };
}

/** Returns prompt and answer as JSON, as the conventions say for spans. */
export function contentAttributes({ content }: TracedRequest): SpanAttributes {
  const json = (value: unknown) => (value === undefined ? undefined : JSON.stringify(value));
  return {
    'gen_ai.system_instructions': json(content?.instructions),
    'gen_ai.input.messages': json(content?.input),
    'gen_ai.output.messages': json(content?.output),
  };
}

/** `last`: whether this is the attempt whose response the client got. */
export function attemptAttributes(
  request: TracedRequest,
  index: number,
  startMs: number,
  { latest }: SpanNaming,
): SpanAttributes {
  const { usage, schema, firstTokenMs, stream, trace, agent } = request;
  const isLast = index === trace.attempts.length - 1;
  const record: AttemptRecord | undefined = request.attempts?.[index];
  const common = {
    [attribute.operation]: request.operation,
    [attribute.provider]: isLast && schema !== undefined ? (PROVIDER_NAMES[schema] ?? schema) : undefined,
    [attribute.requestModel]: request.model,
    'gen_ai.request.stream': stream || undefined,
    'gen_ai.conversation.id': agent?.sessionId,
    [attribute.backend]: record?.backend ?? request.backend,
    'tallygate.attempt': trace.attempts.length > 1 ? index + 1 : undefined,
    'http.response.status_code': record === undefined ? request.status : record.status,
    [attribute.errorType]: attemptError(request, index),
  };
  if (!isLast) {
    return common;
  }
  return {
    ...common,
    [attribute.responseModel]: request.responseModel,
    'gen_ai.response.time_to_first_chunk':
      stream && firstTokenMs !== undefined ? (firstTokenMs - startMs) / 1000 : undefined,
    'openai.response.service_tier': schema === 'OpenAI' ? request.serviceTier : undefined,
    'tallygate.provider_request.id': request.providerRequestId,
    ...(usage !== undefined && usageAttributes(usage, latest)),
  };
}

export function attemptError({ trace, attempts, error }: TracedRequest, index: number): string | undefined {
  if (index === trace.attempts.length - 1) {
    return error;
  }
  const { cause, status } = attempts?.[index] ?? {};
  return status === undefined ? (cause ?? 'no_answer') : String(status);
}

function usageAttributes(usage: Usage, latest: boolean): SpanAttributes {
  const present = (tokens: number) => tokens || undefined;
  const common = {
    'gen_ai.usage.input_tokens': usage.input,
    'gen_ai.usage.output_tokens': usage.output,
    'gen_ai.usage.cache_read.input_tokens': present(usage.cachedInput),
    'gen_ai.usage.reasoning.output_tokens': present(usage.reasoningOutput),
  };
  if (!latest) {
    return { ...common, 'gen_ai.usage.cache_creation.input_tokens': present(usage.cacheWriteInput) };
  }
  return {
    ...common,
    'gen_ai.usage.cache_write.input_tokens': present(usage.cacheWriteInput),
    'gen_ai.usage.audio.input_tokens': present(usage.audioInput),
    'gen_ai.usage.audio.output_tokens': present(usage.audioOutput),
    'gen_ai.usage.image.input_tokens': present(usage.imageInput),
    'gen_ai.usage.image.output_tokens': present(usage.imageOutput),
  };
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
