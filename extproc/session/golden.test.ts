/**
 * Replays recorded sessions: `testdata/NAME.in.yaml` (policy and events) → `NAME.out.yaml`
 * (actions). UPDATE_GOLDEN=1 rewrites them.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { type GuardrailRule, guardrailScopes } from '../../contract/guardrails.ts';
import type { GatewayPolicy } from '../../contract/policy.ts';
import { TokenVerifier } from '../access/token-verifier.ts';
import type { HeaderList } from '../exchange.ts';
import type { Interruption } from '../interruption.ts';
import { compilePolicy } from '../policy/compile.ts';
import { bucketRef } from '../quota/keys.ts';
import { openQuotaStore } from '../quota/open.ts';
import type { Hold, QuotaStore } from '../quota/store.ts';
import { drawOn } from '../quota/units.ts';
import type { RequestRecord } from '../record.ts';
import { newBodyCount } from '../tokens/count.ts';
import { loadEncodings } from '../tokens/encodings.ts';
import { newMeter } from '../tokens/meter.ts';
import type { TraceOptions } from '../trace-context.ts';
import { FirstTokenTimes } from './first-token-times.ts';
import type { Action, ActionOf, SessionEvent } from './protocol.ts';
import { Session } from './session.ts';

const START_MS = Date.UTC(2026, 0, 1, 12);

interface Step {
  readonly requestHeaders?: Record<string, string>;
  readonly requestBody?: string;
  /** The backend at which Envoy begins an attempt. */
  readonly attempt?: string;
  /** The headers of the response to the attempt. */
  readonly attemptResponse?: Record<string, string>;
  readonly responseHeaders?: Record<string, string>;
  readonly codeDetails?: string;
  readonly path?: string;
  readonly responseBody?: string;
  /** The response body is compressed, as one gzip member. */
  readonly gzip?: boolean;
  /** `extended` delivers the extensions that wait. */
  readonly event?: 'request-trailers' | 'response-trailers' | 'first-token-timeout' | 'closed' | 'extended';
  readonly end?: boolean;
  /** Of `closed`. */
  readonly broken?: Interruption;
  readonly afterMs?: number;
}

interface Case {
  readonly policy: Omit<GatewayPolicy, 'formatVersion' | 'version'>;
  /** Spent before the session begins, by quota name with its key. */
  readonly spent?: number;
  /** Extensions wait for an `extended` step. */
  readonly extensionsWait?: boolean;
  /** The response is in the sample whose counts are compared. */
  readonly compares?: boolean;
  /** Traces are on, and this one is recorded or not. */
  readonly traced?: boolean;
  /** Guardrails look at the response before the client gets it. */
  readonly guardrails?: readonly GoldenRule[];
  readonly steps: readonly Step[];
}

interface GoldenRule {
  readonly expression: string;
  readonly action: 'Block' | 'Mask';
}

const folder = new URL('./testdata/', import.meta.url);
const base = parse(readFileSync(new URL('base.yaml', folder), 'utf8')) as Case['policy'];
await loadEncodings();

for (const file of readdirSync(folder).filter((name) => name.endsWith('.in.yaml'))) {
  test(`${file.replace('.in.yaml', '')}: the actions match the golden file`, () => {
    const text = readFileSync(new URL(file, folder), 'utf8');
    const given = parseAllDocuments(text)[0]!.toJS() as Case;
    const out = stringify(replay(given), { lineWidth: 0, aliasDuplicateObjects: false });
    const expected = new URL(file.replace('.in.yaml', '.out.yaml'), folder);
    if (process.env['UPDATE_GOLDEN'] === '1') {
      writeFileSync(expected, out);
    }
    assert.equal(out, readFileSync(expected, 'utf8'));
  });
}

/** Adds the guardrails of a case to all rules. */
function guarded(policy: Case['policy'], { guardrails }: Case): Case['policy'] {
  if (guardrails === undefined) {
    return policy;
  }
  const rules = guardrails.map(
    ({ expression, action }, place): GuardrailRule => ({
      name: `rule-${place}`,
      phases: ['Response'],
      scope: guardrailScopes,
      detector: { type: 'Pattern', expressions: [expression] },
      action:
        action === 'Block'
          ? { type: 'Block', message: 'Not here.' }
          : { type: 'Mask', placeholder: '<{index}>', restore: false },
      onFailure: 'Closed',
      timeoutMs: 100,
      onUnmaskable: 'Block',
    }),
  );
  const holdBack = { bytes: 65_536, ms: 2000 };
  return {
    ...policy,
    guardrailPolicies: [{ name: 'default/guard', rules, exempt: [], holdBack }],
    virtualHosts: policy.virtualHosts.map((host) => ({
      ...host,
      rules: host.rules.map((rule) => ({ ...rule, guardrails: ['default/guard'] })),
    })),
  };
}

function replay(given: Case): readonly object[] {
  let nowMs = START_MS;
  const policy = compilePolicy({
    formatVersion: 6,
    version: 'golden',
    ...guarded({ ...base, ...given.policy }, given),
  });
  const { store } = openQuotaStore({ nowMs: () => nowMs });
  const session = new Session({
    policy,
    verifier: new TokenVerifier({ nowMs: () => nowMs, requestKeys: () => {} }),
    random: () => 0,
    isRevoked: () => false,
    isJudge: () => false,
    restsUntil: () => undefined,
    firstTokenTimes: new FirstTokenTimes(),
    newId: () => 'id',
    traces: given.traced === undefined ? undefined : goldenTraces(given.traced),
    estimates: { holdTokens: () => 16, tokensPerSecond: () => 50 },
    newMeter,
    compares: () => given.compares === true,
    plainErrors: false,
  });
  if (given.spent !== undefined) {
    spend(store, policy.quotas[0]!, given.spent, nowMs);
  }
  const seen: object[] = [];
  const waiting: SessionEvent[] = [];
  const compressed: Uint8Array[] = [];
  const handle = (event: SessionEvent) => {
    const actions: Action[] = [];
    session.handle(event, nowMs, actions);
    // Somebody looks at the request; that changes nothing.
    session.soFar(nowMs);
    const answers: SessionEvent[] = [];
    for (const action of actions) {
      seen.push(shown(action));
      if (action.type === 'reserve') {
        store.reserve(action.demand, (decision) => answers.push({ type: 'reserved', decision }));
      }
      if (action.type === 'read-quotas') {
        answers.push({ type: 'quotas-read', snapshots: store.snapshot(action.buckets, nowMs) });
      }
      if (action.type === 'extend') {
        store.extend(action.hold, action.output, nowMs, (tokens) =>
          (given.extensionsWait ? waiting : answers).push({ type: 'extended', tokens }),
        );
      }
      if (action.type === 'inflate-push') {
        compressed.push(Buffer.from(action.bytes));
      }
      if (action.type === 'inflate-finish') {
        answers.push(...inflated(Buffer.concat(compressed)));
      }
      if (action.type === 'count') {
        answers.push({ type: 'counted', tokens: counted(action) });
      }
      if (action.type === 'finish' && action.settle) {
        store.settle(action.settle.hold, action.settle.charge, nowMs, (overdrafts) => {
          for (const { amount, cause } of overdrafts) {
            seen.push({ overdraft: amount, cause });
          }
        });
      }
    }
    // The transport reuses the buffer, so the session must have copied what it keeps.
    if (event.type === 'response-body') {
      event.bytes.fill(0xdb);
    }
    for (const answer of answers) {
      handle(answer);
    }
  };
  for (const step of given.steps) {
    nowMs += step.afterMs ?? 1;
    if (step.event === 'extended') {
      for (const event of waiting.splice(0)) {
        handle(event);
      }
    } else {
      handle(eventOf(step));
    }
  }
  store.close();
  return seen;
}

function inflated(bytes: Uint8Array): readonly SessionEvent[] {
  try {
    return [
      { type: 'inflated', bytes: gunzipSync(bytes) },
      { type: 'inflate-end', error: false },
    ];
  } catch {
    return [{ type: 'inflate-end', error: true }];
  }
}

function counted({ body, tokenizer, model }: ActionOf<'count'>): number {
  const count = newBodyCount(body, tokenizer, model);
  while (!count.step(Number.POSITIVE_INFINITY)) {}
  return count.tokens;
}

function spend(store: QuotaStore, quota: GatewayPolicy['quotas'][number], tokens: number, atMs: number): void {
  const bucket = bucketRef(quota, ['red']);
  store.reserve(
    {
      id: 'before',
      atMs,
      draws: [drawOn(bucket, undefined, tokens)],
      inputTokens: tokens,
      inputCounted: true,
      output: { mode: 'none', want: 0, least: 0 },
    },
    (decision) => {
      assert.equal(decision.type, 'granted');
      store.settle((decision as { hold: Hold }).hold, { amounts: [tokens], cause: 'in_flight' }, atMs, () => {});
    },
  );
}

function eventOf(step: Step): SessionEvent {
  const endOfStream = step.end ?? false;
  if (step.requestHeaders) {
    return { type: 'request-headers', headers: list(step.requestHeaders), endOfStream, routeName: 'entry' };
  }
  if (step.attempt !== undefined) {
    return { type: 'attempt', backend: step.attempt };
  }
  if (step.attemptResponse) {
    return { type: 'attempt-response', headers: list(step.attemptResponse) };
  }
  if (step.responseHeaders) {
    const { codeDetails, path } = step;
    return { type: 'response-headers', headers: list(step.responseHeaders), endOfStream, codeDetails, path };
  }
  if (step.requestBody !== undefined) {
    return { type: 'request-body', bytes: Buffer.from(step.requestBody), endOfStream };
  }
  if (step.responseBody !== undefined) {
    const bytes = Buffer.from(step.responseBody);
    return { type: 'response-body', bytes: step.gzip === true ? gzipSync(bytes) : bytes, endOfStream };
  }
  if (step.event === 'closed') {
    return { type: 'closed', clean: false, broken: step.broken };
  }
  return { type: step.event as 'request-trailers' | 'response-trailers' | 'first-token-timeout' };
}

function list(headers: Record<string, string>): HeaderList {
  return Object.entries(headers);
}

/** Returns an action in a form that is easy to review. */
/** Draws ids in order. */
function goldenTraces(sampled: boolean): TraceOptions {
  let ids = 0;
  return { sampler: () => sampled, drawId: (bytes) => String(++ids).padStart(bytes * 2, '0') };
}

function shown(action: Action): object {
  if ('mutation' in action && action.mutation.body !== undefined) {
    return { ...action, mutation: { ...action.mutation, body: text(action.mutation.body) } };
  }
  if ('bytes' in action && action.bytes instanceof Uint8Array) {
    return { ...action, bytes: text(action.bytes) };
  }
  if (action.type === 'count') {
    return { type: 'count', limitTokens: action.limitTokens };
  }
  if (action.type === 'immediate-response' || action.type === 'attempt-refused') {
    return { ...action, response: { ...action.response, body: text(action.response.body) } };
  }
  if (action.type === 'reserve') {
    const draws = action.demand.draws.map(({ bucket, ...draw }) => ({ bucket: bucket.key, ...draw }));
    return { type: 'reserve', demand: { ...action.demand, draws } };
  }
  if (action.type === 'extend') {
    return { type: 'extend', output: action.output };
  }
  if (action.type === 'finish') {
    const { settle } = action;
    // Known from the steps.
    const { forwardedMs: _, ...record } = action.record;
    const known = Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined));
    return {
      type: 'finish',
      charge: settle?.charge,
      record: { ...known, ...shownAccess(action.record), buckets: record.buckets.map(({ key }) => key) },
    };
  }
  return action;
}

function shownAccess({ access }: RequestRecord): object {
  if (access === undefined) {
    return {};
  }
  const { decision, method, group, caller } = access;
  const { tenant, user, groups, apiKey } = caller ?? {};
  return { access: { decision, method, group, tenant, user, groups, apiKey } };
}

function text(bytes: Uint8Array): string {
  const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  return isGzip ? `gzip of ${gunzipSync(bytes)}` : Buffer.from(bytes).toString();
}
