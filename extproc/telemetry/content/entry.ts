/** What leaves the gateway of one request for one content policy. */
import type { RecordedContent, RecordedPart, RequestRecord } from '../../record.ts';
import { tenantLabel } from '../access-metrics.ts';
import { PROVIDER_NAMES } from '../names.ts';
import { type ContentMessage, instructionsOf, type MessagePart, messagesOf, type OutputMessage } from './messages.ts';

const MAX_TEXT_CHARACTERS = 256;

export interface ContentEntry {
  /** Unique among all gateways. */
  readonly id: string;
  /** When the request began, in milliseconds since 1970. */
  readonly timeMs: number;
  readonly span: { readonly traceId: string; readonly spanId: string; readonly traceFlags: number } | undefined;
  /** Attributes by their names. */
  readonly attributes: Readonly<Record<string, string | boolean>>;
  readonly instructions: readonly MessagePart[] | undefined;
  readonly input: readonly ContentMessage[] | undefined;
  readonly output: readonly OutputMessage[] | undefined;
}

export interface ContentMessages extends Pick<ContentEntry, 'instructions' | 'input' | 'output'> {}

/** What an entry says of its request. */
export interface ContentFacts {
  readonly timeMs: number;
  readonly span: ContentEntry['span'];
  readonly attributes: Readonly<Record<string, string>>;
  /** Why the model stopped, as far as the gateway knows. */
  readonly finishReason: string;
}

/** `hashesKeys`: names of callers as SHA-256 only. */
export function contentFacts(record: RequestRecord, hashesKeys: boolean): ContentFacts {
  const { trace, access, schema } = record;
  const { tenant, user } = access?.caller ?? {};
  const attributes: Record<string, string> = {};
  const put = (name: string, value: string | undefined) => {
    if (value !== undefined) {
      attributes[name] = value.slice(0, MAX_TEXT_CHARACTERS);
    }
  };
  put('gen_ai.operation.name', record.operation);
  put('gen_ai.provider.name', schema && (PROVIDER_NAMES[schema] ?? schema));
  put('gen_ai.request.model', record.model);
  put('gen_ai.response.model', record.responseModel);
  put('tallygate.request.id', record.requestId);
  put('tallygate.route', record.route);
  put('tallygate.rule', record.rule);
  put('tallygate.tenant', tenant && tenantLabel(tenant, hashesKeys));
  put('user.id', user && tenantLabel(user, hashesKeys));
  return {
    timeMs: record.startMs,
    span: trace && { traceId: trace.traceId, spanId: trace.spanId, traceFlags: trace.sampled ? 1 : 0 },
    attributes,
    finishReason: finishReason(record),
  };
}

/** Returns the parts as messages. */
export function contentMessages(reason: string, { prompt, response }: RecordedContent): ContentMessages {
  const instructions = prompt && instructionsOf(prompt);
  return {
    instructions: instructions?.length === 0 ? undefined : instructions,
    input: prompt && messagesOf(prompt),
    output: response && messagesOf(response).map(({ role, parts }) => ({ role, parts, finish_reason: reason })),
  };
}

export function contentEntry(facts: ContentFacts, kept: RecordedContent, id: string): ContentEntry {
  const { timeMs, span, finishReason: reason } = facts;
  const attributes: Record<string, string | boolean> = {
    ...facts.attributes,
    'tallygate.content.policy': kept.policy,
  };
  if (isTruncated(kept.prompt) || isTruncated(kept.response)) {
    attributes['tallygate.content.truncated'] = true;
  }
  return { id, timeMs, span, attributes, ...contentMessages(reason, kept) };
}

export function finishReason({ decision, failure, clientLeft }: RequestRecord): string {
  if (failure !== undefined) {
    return failure.code === 'content_blocked' ? 'content_filter' : 'error';
  }
  return decision.type === 'cut' || clientLeft ? 'length' : 'stop';
}

function isTruncated(part: RecordedPart | undefined): boolean {
  return part?.truncated === true;
}
