/** Reads `generationConfig`: sampling, the form of the output and the thinking. */
import type { JsonRecord, OutputFormat, ReasoningEffort, ReasoningWish, Sampling } from '../conversation.ts';
import { recordOf, stringOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { camelMembers, fieldsOf, noteOthers } from './members.ts';
import { jsonSchema } from './schema.ts';

interface ConfigWishes {
  readonly sampling: Sampling;
  readonly stops: readonly string[];
  readonly output: OutputFormat;
  readonly reasoning: ReasoningWish | undefined;
}

/** What a response needs of its request. */
export interface ContentEcho {
  /** Whether the client wants to see the thoughts. */
  readonly includesThoughts: boolean;
}

const AT = 'generationConfig';

const KNOWN: ReadonlySet<string> = new Set([
  ...['temperature', 'topP', 'topK', 'seed', 'presencePenalty', 'frequencyPenalty', 'stopSequences'],
  ...['maxOutputTokens', 'candidateCount', 'thinkingConfig', 'responseModalities', 'responseLogprobs', 'logprobs'],
  ...['responseMimeType', 'responseSchema', 'responseJsonSchema', '_responseJsonSchema'],
]);
const HINTS: ReadonlySet<string> = new Set(['mediaResolution', 'audioTimestamp', 'enableEnhancedCivicAnswers']);

const efforts: ReadonlySet<string> = new Set<ReasoningEffort>(['minimal', 'low', 'medium', 'high']);

export function contentEcho(request: JsonRecord): ContentEcho {
  const config = camelMembers(recordOf(camelMembers(request)[AT]) ?? {});
  const thinking = camelMembers(recordOf(config['thinkingConfig']) ?? {});
  return { includesThoughts: thinking['includeThoughts'] === true };
}

export function readConfig(value: unknown, losses: Losses): ConfigWishes {
  const config = camelMembers(recordOf(value) ?? {});
  const fields = fieldsOf(value, losses, AT);
  noteOthers(config, `${AT}.`, KNOWN, HINTS, losses);
  if (config['responseLogprobs'] === true || config['logprobs'] !== undefined) {
    losses.unsupportedOption('logprobs');
  }
  const modalities = fields.list('responseModalities') ?? [];
  if (modalities.some((each) => !/^text$/i.test(String(each)))) {
    losses.unsupported(`${AT}.responseModalities`, 'Use TEXT');
  }
  const stops = fields.list('stopSequences') ?? [];
  if (!stops.every((stop) => typeof stop === 'string')) {
    losses.invalid(`${AT}.stopSequences`, 'must be an array of strings');
  }
  return {
    sampling: {
      temperature: fields.number('temperature'),
      topP: fields.number('topP'),
      topK: fields.number('topK'),
      seed: fields.number('seed'),
      presencePenalty: fields.number('presencePenalty'),
      frequencyPenalty: fields.number('frequencyPenalty'),
    },
    stops: stops as readonly string[],
    output: readOutput(config, losses),
    reasoning: readThinking(config['thinkingConfig'], losses),
  };
}

function readOutput(config: JsonRecord, losses: Losses): OutputFormat {
  const type = stringOf(config['responseMimeType']) ?? 'text/plain';
  const own = recordOf(config['responseSchema']);
  const schema =
    recordOf(config['responseJsonSchema'] ?? config['_responseJsonSchema']) ?? (own && jsonSchema(own, true));
  switch (type) {
    case 'text/plain':
      return { type: 'text' };
    case 'application/json':
      return schema === undefined ? { type: 'json' } : { type: 'schema', name: 'response', schema, strict: undefined };
    default:
      losses.unsupported(`${AT}.responseMimeType`, 'Use text/plain or application/json');
      return { type: 'text' };
  }
}

function readThinking(value: unknown, losses: Losses): ReasoningWish | undefined {
  const at = `${AT}.thinkingConfig`;
  const fields = fieldsOf(value, losses, at);
  const budget = fields.number('thinkingBudget');
  const level = fields.text('thinkingLevel')?.toLowerCase();
  if (level !== undefined && level !== 'thinking_level_unspecified') {
    if (!efforts.has(level)) {
      losses.invalid(`${at}.thinkingLevel`, 'must be MINIMAL, LOW, MEDIUM or HIGH');
    }
    return { type: 'effort', effort: level as ReasoningEffort };
  }
  if (budget !== undefined) {
    return budget === 0 ? { type: 'off' } : budget < 0 ? { type: 'adaptive' } : { type: 'budget', tokens: budget };
  }
  return fields.flag('includeThoughts') === true ? { type: 'adaptive' } : undefined;
}
