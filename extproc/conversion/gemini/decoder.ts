/**
 * Reads responses of Gemini's generateContent. Each event of a stream is a whole response with the
 * next parts of the answer; no event ends the stream, so the finish reason does.
 */
import { failure } from '../../errors.ts';
import { geminiTier, geminiUsage } from '../../providers/gemini/usage.ts';
import { toldTokens } from '../../providers/usage.ts';
import type { Usage } from '../../usage.ts';
import type { AnswerPart, FinishReason } from '../answer.ts';
import type { JsonRecord } from '../conversation.ts';
import type { AnswerDecoder, ProviderError } from '../conversion.ts';
import { providerError, unreadableAnswer } from '../failures.ts';
import { listOf, numberOf, parsedRecord, recordOf, stringOf } from '../json-values.ts';

const UNREADABLE: readonly AnswerPart[] = [{ type: 'error', failure: unreadableAnswer }];

/** All others but the invalid ones mean that the answer was withheld. */
const reasons: ReadonlyMap<string, FinishReason> = new Map<string, FinishReason>([
  ['STOP', 'stop'],
  ['MAX_TOKENS', 'length'],
]);

/** The model wrote something that the API could not read. */
const INVALID: ReadonlySet<string> = new Set([
  'MALFORMED_FUNCTION_CALL',
  'MALFORMED_RESPONSE',
  'UNEXPECTED_TOOL_CALL',
  'TOO_MANY_TOOL_CALLS',
  'MISSING_THOUGHT_SIGNATURE',
]);

const unreadableMedia = failure(
  'unreadable_answer',
  'The model answered with media, which cannot be converted. Use a model that answers with text.',
);

export class GeminiDecoder implements AnswerDecoder {
  #started = false;
  #finished = false;

  event(data: string): readonly AnswerPart[] {
    const response = parsedRecord(data);
    return response === undefined ? UNREADABLE : this.#response(response);
  }

  document(document: unknown): readonly AnswerPart[] {
    const response = recordOf(document);
    if (response === undefined) {
      return UNREADABLE;
    }
    const parts = this.#response(response);
    const last = parts.at(-1)?.type;
    if (last === 'end' || last === 'error') {
      return parts;
    }
    const isAnswer = firstCandidate(response) !== undefined;
    return isAnswer ? [...parts, { type: 'finish', reason: 'stop' }, { type: 'end' }] : UNREADABLE;
  }

  #response(response: JsonRecord): readonly AnswerPart[] {
    if (recordOf(response['error']) !== undefined) {
      return [{ type: 'error', failure: { ...readGeminiError(0, response), failure: true } }];
    }
    const usageParts = usageOf(recordOf(response['usageMetadata']));
    if (this.#finished) {
      return usageParts;
    }
    const candidate = firstCandidate(response);
    const contents = (listOf(recordOf(candidate?.['content'])?.['parts']) ?? []).flatMap((part) =>
      contentParts(recordOf(part) ?? {}),
    );
    const ending = endingOf(candidate, response);
    this.#finished = ending.length > 0;
    return [...this.#start(response), ...contents, ...usageParts, ...ending];
  }

  #start(response: JsonRecord): readonly AnswerPart[] {
    if (this.#started) {
      return [];
    }
    this.#started = true;
    const model = stringOf(response['modelVersion']) || undefined;
    return [{ type: 'start', id: stringOf(response['responseId']) || undefined, model }];
  }
}

function usageOf(metadata: JsonRecord | undefined): readonly AnswerPart[] {
  const usage: Usage | undefined = metadata && geminiUsage({ get: (path) => countOf(metadata, path) });
  const serviceTier = geminiTier(metadata?.['serviceTier'], metadata?.['trafficType']);
  return usage === undefined ? [] : [{ type: 'usage', usage, ...(serviceTier !== undefined && { serviceTier }) }];
}

/** Returns a count, or that of a modality, as in `promptTokensDetails.AUDIO`. */
function countOf(metadata: JsonRecord, path: string): number | undefined {
  const [name = '', modality] = path.split('.');
  if (modality === undefined) {
    return toldTokens(metadata[name]);
  }
  const details = (listOf(metadata[name]) ?? []).map(recordOf);
  return toldTokens(details.find((each) => each?.['modality'] === modality)?.['tokenCount']);
}

/** Reads an error; inside of a stream, whose own status says nothing, `status` is 0. */
export function readGeminiError(status: number, document: unknown): ProviderError {
  // A stream that fails at once is answered with a list.
  const error = recordOf(recordOf(listOf(document)?.[0] ?? document)?.['error']);
  const told = numberOf(error?.['code']) ?? 0;
  const known = status > 0 ? status : told >= 400 && told < 600 ? told : 500;
  const retryAfterMs = retryDelayMs(error);
  return {
    ...providerError(known, stringOf(error?.['status'])?.toLowerCase(), error?.['message']),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

/** Google tells the time to wait in the body, as in `"retryDelay": "7.5s"`, not in a header. */
function retryDelayMs(error: JsonRecord | undefined): number | undefined {
  const info = (listOf(error?.['details']) ?? [])
    .map(recordOf)
    .find((detail) => detail?.['@type'] === 'type.googleapis.com/google.rpc.RetryInfo');
  const seconds = /^(\d{1,6}(?:\.\d{1,9})?)s$/.exec(stringOf(info?.['retryDelay']) ?? '')?.[1];
  return seconds === undefined ? undefined : Math.round(Number(seconds) * 1000);
}

/** Conversions ask for one candidate. */
function firstCandidate(response: JsonRecord): JsonRecord | undefined {
  const candidates = (listOf(response['candidates']) ?? []).map(recordOf);
  return candidates.find((candidate) => candidate !== undefined && (numberOf(candidate['index']) ?? 0) === 0);
}

function contentParts(part: JsonRecord): readonly AnswerPart[] {
  const call = recordOf(part['functionCall']);
  if (call !== undefined) {
    return callParts(call, stringOf(part['thoughtSignature']) || undefined);
  }
  if (part['inlineData'] !== undefined || part['fileData'] !== undefined) {
    return part['thought'] === true ? [] : [{ type: 'error', failure: unreadableMedia }];
  }
  const text = stringOf(part['text']) ?? '';
  return text === '' ? [] : [{ type: part['thought'] === true ? 'reasoning' : 'text', text }];
}

/** Calls arrive whole. Signatures of other parts are optional for the API. */
function callParts(call: JsonRecord, signature: string | undefined): readonly AnswerPart[] {
  const name = stringOf(call['name']) ?? '';
  const id = stringOf(call['id']) || undefined;
  return [
    { type: 'tool-call', id, name, ...(signature !== undefined && { signature }) },
    { type: 'arguments', text: JSON.stringify(recordOf(call['args']) ?? {}) },
    { type: 'block-end' },
  ];
}

function endingOf(candidate: JsonRecord | undefined, response: JsonRecord): readonly AnswerPart[] {
  const reason = stringOf(candidate?.['finishReason']);
  if (reason !== undefined && INVALID.has(reason)) {
    const message = `The model's response is not valid (${reason}). Try again.`;
    return [{ type: 'error', failure: failure('unreadable_answer', message) }];
  }
  if (reason !== undefined && reason !== 'FINISH_REASON_UNSPECIFIED') {
    return [{ type: 'finish', reason: reasons.get(reason) ?? 'refusal' }, { type: 'end' }];
  }
  // A prompt that is blocked has no candidates.
  const blocked = stringOf(recordOf(response['promptFeedback'])?.['blockReason']);
  const isBlocked = candidate === undefined && blocked !== undefined && blocked !== '';
  return isBlocked ? [{ type: 'finish', reason: 'refusal' }, { type: 'end' }] : [];
}
