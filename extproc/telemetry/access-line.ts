/**
 * The access line of one request, as JSON. It contains no text of prompts or responses and no
 * credentials: every field that a client chooses is listed here, bounded and encoded.
 */
import { decimalText } from '../../contract/money.ts';
import { jsonText } from '../../runtime/json-text.ts';
import { backendFailure, type Interruption } from '../interruption.ts';
import type { Overdraft } from '../quota/store.ts';
import { measuredAmount } from '../quota/units.ts';
import type { AccessRecord, AttemptRecord, ConversionRecord, GuardRecord, RequestRecord } from '../record.ts';
import type { Usage } from '../usage.ts';

/** Clients choose models, paths and request ids. */
const MAX_TEXT_CHARACTERS = 256;

/**
 * Returns the line with its newline. Omits fields without a value. Concatenates strings, because
 * JSON.stringify of the whole takes three times as long.
 */
export function accessLine(outcome: RequestRecord, overdrafts: readonly Overdraft[]): string {
  const { usage, decision, failure, startMs, endMs, firstTokenMs } = outcome;
  let line = `{"time":"${isoTime(endMs)}"`;
  line += text(',"requestId":', outcome.requestId);
  line += text(',"traceId":', outcome.trace?.traceId);
  line += text(',"providerRequestId":', outcome.providerRequestId);
  line += text(',"method":', outcome.method);
  line += text(',"path":', outcome.path);
  line += text(',"route":', outcome.route);
  line += text(',"rule":', outcome.rule);
  line += text(',"backend":', outcome.backend);
  line += text(',"operation":', outcome.operation);
  line += outcome.conversion === undefined ? '' : conversion(outcome.conversion);
  line += text(',"model":', outcome.model);
  line += text(',"responseModel":', outcome.responseModel);
  line += text(',"serviceTier":', outcome.serviceTier);
  line += tenant(outcome.buckets);
  if (outcome.agent !== undefined) {
    const { sessionId, agentId, parentAgentId } = outcome.agent;
    line += text(',"sessionId":', sessionId) + text(',"agentId":', agentId) + text(',"parentAgentId":', parentAgentId);
  }
  line += outcome.access === undefined ? '' : access(outcome.access);
  line += outcome.guard === undefined ? '' : guardrails(outcome.guard);
  line += `,"stream":${outcome.stream}`;
  if (outcome.status !== undefined) {
    line += `,"status":${outcome.status}`;
  }
  line += text(',"error":', failure?.code) + text(',"stoppedBy":', outcome.stoppedBy);
  if (outcome.clientLeft) {
    line += ',"clientLeft":true';
  }
  if (outcome.broken !== undefined) {
    line += backend(outcome.broken);
  }
  line += text(',"failover":', outcome.failover) + attempts(outcome.attempts);
  line += `,"durationMs":${tenths(endMs - startMs)}`;
  if (outcome.stream && firstTokenMs !== undefined) {
    line += `,"firstTokenMs":${tenths(firstTokenMs - startMs)}`;
  }
  if (usage !== undefined) {
    line += tokens(usage);
  }
  line += text(',"source":', outcome.source);
  if (outcome.cost !== undefined) {
    line += `,"cost":"${decimalText(outcome.cost.nanos)}","currency":"${outcome.cost.currency}"`;
    line += text(',"catalog":', outcome.cost.catalog);
  }
  if (outcome.undeliveredTokens !== undefined) {
    line += `,"undeliveredTokens":${outcome.undeliveredTokens}`;
  }
  if (outcome.estimatedOutputTokens !== undefined) {
    line += `,"estimatedOutputTokens":${outcome.estimatedOutputTokens}`;
  }
  if (outcome.unmetered) {
    line += ',"unmetered":true';
  }
  line += `,"decision":"${decision.type}"`;
  if (decision.type === 'refused') {
    line += text(',"quota":', decision.quota) + text(',"reason":', decision.reason);
  } else if (decision.type !== 'none') {
    if (decision.queuedMs > 0) {
      line += `,"queuedMs":${tenths(decision.queuedMs)}`;
    }
    if (decision.shadowRefused.length > 0) {
      line += `,"shadowRefused":${jsonText(decision.shadowRefused)}`;
    }
  }
  if (overdrafts.length > 0) {
    const list = overdrafts.map(({ bucket: { quota }, amount, cause }) =>
      quota.limit.type === 'Cost'
        ? { quota: quota.id, cost: decimalText(amount), cause }
        : { quota: quota.id, tokens: measuredAmount(quota.limit, amount), cause },
    );
    line += `,"overdrafts":${jsonText(list)}`;
  }
  return `${line},"requestBytes":${outcome.requestBytes},"responseBytes":${outcome.responseBytes}}\n`;
}

function attempts(list: readonly AttemptRecord[] = []): string {
  if (list.length === 0) {
    return '';
  }
  const items = list.map(({ durationMs, ...attempt }) => ({ ...attempt, durationMs: tenths(durationMs) }));
  return `,"attempts":${jsonText(items)}`;
}

function conversion({ providerApi, dropped }: ConversionRecord): string {
  return `,"convertedTo":"${providerApi}"${dropped.length === 0 ? '' : `,"dropped":${jsonText(dropped)}`}`;
}

function backend(broken: Interruption): string {
  const { flags, details, transportFailure } = broken;
  const known = (words: string) => words || undefined;
  return `,"backendFailure":"${backendFailure(broken)}"${text(',"flags":', known(flags))}${text(',"details":', known(details))}${text(',"transportFailure":', known(transportFailure))}`;
}

function tokens(usage: Usage): string {
  return `,"tokens":{"input":${usage.input},"output":${usage.output},"cachedInput":${usage.cachedInput},"cacheWriteInput":${usage.cacheWriteInput},"cacheWrite1hInput":${usage.cacheWrite1hInput},"reasoningOutput":${usage.reasoningOutput},"audioInput":${usage.audioInput},"audioOutput":${usage.audioOutput},"imageInput":${usage.imageInput},"imageOutput":${usage.imageOutput}}`;
}

/**
 * Returns the values of the headers in the keys of the quotas. Those of credentials are already
 * hashed (quota/keys.ts).
 */
function tenant(buckets: RequestRecord['buckets']): string {
  let members = '';
  const seen: string[] = [];
  for (const { quota, values } of buckets) {
    for (let i = 0; i < values.length; i++) {
      const part = quota.key[i];
      if (part?.type !== 'Header' || seen.includes(part.name)) {
        continue;
      }
      seen.push(part.name);
      members += text(`,"${part.name}":`, values[i]!);
    }
  }
  return members === '' ? '' : `,"tenant":{${members.slice(1)}}`;
}

function access({ decision, method, caller, group }: AccessRecord): string {
  const { tenant, user, apiKey } = caller ?? {};
  const names =
    text(',"tenant":', tenant) + text(',"user":', user) + text(',"group":', group) + text(',"apiKey":', apiKey);
  return `,"caller":{"decision":"${decision}"${text(',"method":', method)}${names}}`;
}

/** Types of findings are names of detectors or services; no value is part of a line. */
function guardrails({ rules, failures }: GuardRecord): string {
  const members: Record<string, object> = {};
  for (const { rule, action, findings } of rules) {
    members[rule] = { action, findings };
  }
  for (const { rule, reason } of failures) {
    members[rule] = { ...members[rule], failure: reason };
  }
  return Object.keys(members).length === 0 ? '' : `,"guardrails":${jsonText(members)}`;
}

/**
 * `member` is what precedes the value. A constant makes fewer strings than its name would. Names of
 * headers need no escapes.
 */
function text(member: string, value: string | undefined): string {
  if (value === undefined) {
    return '';
  }
  const bounded = value.length > MAX_TEXT_CHARACTERS ? `${value.slice(0, MAX_TEXT_CHARACTERS)}…` : value;
  return PLAIN.test(bounded) ? `${member}"${bounded}"` : member + jsonText(bounded);
}

const PLAIN = /^[\w ./:@+=,;-]*$/;

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}

let second = Number.NaN;
let secondText = '';

/** Keeps the text of the last second, because most lines have the same one. */
function isoTime(ms: number): string {
  const whole = Math.floor(ms / 1000);
  if (whole !== second) {
    second = whole;
    secondText = new Date(whole * 1000).toISOString().slice(0, 20);
  }
  const milliseconds = Math.floor(ms) - whole * 1000;
  return `${secondText}${milliseconds < 10 ? '00' : milliseconds < 100 ? '0' : ''}${milliseconds}Z`;
}
