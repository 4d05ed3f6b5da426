import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SemanticConventions } from '@arizeai/openinference-semantic-conventions';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import * as conventions from '@opentelemetry/semantic-conventions/incubating';
import { failure } from '../../errors.ts';
import type { RequestRecord } from '../../record.ts';
import { RequestTrace } from '../../trace-context.ts';
import { bucket, outcomeOfStream } from '../testing.ts';
import { readableSpan } from './readable-span.ts';
import { type SpanOptions, spansOf } from './spans.ts';
import { spanCount, type TracedRequest, tracedRequest } from './traced-request.ts';

const PARENT = ['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'] as const;

/** Names that the development version of the conventions has, and the package not yet. */
const NEWER = [
  'gen_ai.usage.cache_write.input_tokens',
  'gen_ai.usage.audio.input_tokens',
  'gen_ai.usage.audio.output_tokens',
  'gen_ai.usage.image.input_tokens',
  'gen_ai.usage.image.output_tokens',
];

function traced(more: Partial<RequestRecord> = {}, attempts = 1): RequestRecord {
  let ids = 0;
  const trace = new RequestTrace([PARENT], {
    sampler: () => true,
    drawId: (bytes) => String(++ids).padStart(bytes * 2, '0'),
  });
  for (let i = 0; i < attempts; i++) {
    trace.beginAttempt(outcomeOfStream.startMs + 20 + i * 10, { inputTokens: 100, outputTokens: 64 });
  }
  return { ...outcomeOfStream, trace, ...more };
}

function spans(record: RequestRecord, more: Partial<SpanOptions> = {}): readonly ReadableSpan[] {
  const sent = JSON.stringify(tracedRequest(record, [{ bucket, amount: 7, cause: 'in_flight' }], false));
  return spansOf(JSON.parse(sent) as TracedRequest, {
    latest: false,
    openInference: false,
    drawId: () => 'f'.repeat(16),
    ...more,
  }).map((span) => readableSpan(span, resourceFromAttributes({}), { name: 'test' }));
}

describe('the spans of a request', () => {
  it('are one for the request, one for its admission and one for each attempt', () => {
    const [request, admission, attempt] = spans(traced());
    assert.deepEqual(
      [request, admission, attempt].map((span) => [span?.name, span?.kind]),
      [
        ['POST /v1/chat/completions', SpanKind.SERVER],
        ['admission', SpanKind.INTERNAL],
        ['chat small', SpanKind.CLIENT],
      ],
    );
    const id = request?.spanContext().spanId;
    assert.equal(request?.parentSpanContext?.spanId, 'b7ad6b7169203331');
    assert.equal(request?.parentSpanContext?.isRemote, true);
    assert.deepEqual([admission?.parentSpanContext?.spanId, attempt?.parentSpanContext?.spanId], [id, id]);
    assert.deepEqual(admission?.endTime, attempt?.startTime);
    assert.deepEqual(request?.endTime, attempt?.endTime);
    assert.equal(attempt?.attributes['gen_ai.response.time_to_first_chunk'], 0.23);
    assert.equal(attempt?.attributes['gen_ai.usage.cache_read.input_tokens'], 60);
    assert.equal(admission?.attributes['tallygate.held.output_tokens'], 64);
    assert.deepEqual(request?.events[0]?.attributes?.['tallygate.overdraft.causes'], ['in_flight']);
  });

  it('show which attempt failed and how', () => {
    const attempts = [
      { backend: 'default/one', status: 503, cause: '5xx', durationMs: 5 },
      { backend: 'default/two', status: undefined, cause: 'ConnectFailure', durationMs: 5 },
      { backend: 'default/openai', status: 200, cause: undefined, durationMs: 900 },
    ] as const;
    const [, , ...found] = spans(traced({ attempts }, 3));
    assert.deepEqual(
      found.map(({ status, attributes }) => [status.code, attributes['error.type'], attributes['tallygate.attempt']]),
      [
        [SpanStatusCode.ERROR, '503', 1],
        [SpanStatusCode.ERROR, 'ConnectFailure', 2],
        [SpanStatusCode.UNSET, undefined, 3],
      ],
    );
    assert.equal(found[0]?.attributes['gen_ai.usage.input_tokens'], undefined);
    assert.deepEqual(found[0]?.duration, [0, 5_000_000]);
  });

  it('show each call of a guardrail service', () => {
    const { startMs } = outcomeOfStream;
    const call = {
      rule: 'default/company/names',
      phase: 'request',
      detector: 'Presidio',
      url: 'https://presidio.example/analyze',
      startMs: startMs + 2,
      endMs: startMs + 9,
    } as const;
    const answered = { ...call, verdict: 'modify', findings: 3, error: undefined } as const;
    const url = 'http://[::1]:3000';
    const late = { ...call, url, phase: 'response', verdict: undefined, findings: 0, error: 'timeout' } as const;
    const record = traced({ guard: { rules: [], failures: [], calls: { first: [answered, late], count: 40 } } });
    const found = spans(record);
    assert.equal(spanCount(record.trace!, record.guard), found.length);
    const [request, , first, second, attempt] = found;
    assert.equal(request?.attributes['tallygate.guardrail.calls'], 40);
    assert.equal(attempt?.name, 'chat small');
    assert.deepEqual(
      [first, second].map((span) => [span?.name, span?.kind, span?.parentSpanContext?.spanId, span?.status.code]),
      [SpanStatusCode.UNSET, SpanStatusCode.ERROR].map((code) => [
        'guardrail default/company/names',
        SpanKind.CLIENT,
        request?.spanContext().spanId,
        code,
      ]),
    );
    assert.deepEqual(first?.duration, [0, 7_000_000]);
    const common = { 'tallygate.guardrail': call.rule, 'tallygate.guardrail.detector': 'Presidio' };
    assert.deepEqual(first?.attributes, {
      ...common,
      'tallygate.guardrail.phase': 'request',
      'tallygate.guardrail.verdict': 'modify',
      'tallygate.guardrail.count': 3,
      'server.address': 'presidio.example',
      'server.port': 443,
    });
    assert.deepEqual(second?.attributes, {
      ...common,
      'tallygate.guardrail.phase': 'response',
      'error.type': 'timeout',
      'server.address': '::1',
      'server.port': 3000,
    });
  });

  it('of a refusal are no error of the gateway', () => {
    const refusal = failure('quota_exceeded', 'Spent.');
    const decision = { type: 'refused', reason: 'spent', quota: 'default/teams/hour' } as const;
    const [request, admission, ...rest] = spans(
      traced({ failure: refusal, status: 429, decision, usage: undefined }, 0),
    );
    assert.deepEqual(rest, []);
    assert.equal(request?.status.code, SpanStatusCode.UNSET);
    assert.equal(request?.attributes['error.type'], 'quota_exceeded');
    assert.equal(request?.attributes['gen_ai.request.model'], 'small');
    assert.equal(admission?.attributes['tallygate.quota'], 'default/teams/hour');
  });

  it('of a failure of ours and of a backend are errors', () => {
    const [ours] = spans(traced({ failure: failure('overloaded', 'Full.'), status: 503 }, 0));
    const [theirs, , attempt] = spans(traced({ status: 500 }));
    assert.deepEqual(
      [ours, theirs, attempt].map((span) => span?.status.code),
      [SpanStatusCode.ERROR, SpanStatusCode.ERROR, SpanStatusCode.ERROR],
    );
  });

  it('have no name that a client chooses freely', () => {
    const path = '/v1beta/models/any-model-of-a-client:generateContent';
    const [request] = spans(traced({ path, operation: 'generate_content' }));
    assert.equal(request?.name, 'POST /v1beta/models/{model}:generateContent');
    const [passthrough] = spans(traced({ path: '/anything', operation: undefined }));
    assert.equal(passthrough?.name, 'POST');
  });

  it('bound what a client chooses', () => {
    const [, , attempt] = spans(traced({ model: 'x'.repeat(1000) }));
    assert.equal(attempt?.attributes['gen_ai.request.model'], `${'x'.repeat(256)}…`);
  });

  it('have names of the conventions', () => {
    const known = new Set<unknown>([...Object.values(conventions), ...NEWER]);
    const usage = { ...outcomeOfStream.usage!, cacheWriteInput: 1, audioInput: 1, imageOutput: 1, reasoningOutput: 1 };
    const agent = { sessionId: 's', agentId: 'a', parentAgentId: undefined };
    const record = traced({
      usage,
      agent,
      serviceTier: 'flex',
      schema: 'OpenAI',
      responseId: 'chatcmpl-1',
      finishReasons: ['stop', 'length'],
      asked: { outputTokens: 64, choices: 2, serviceTier: 'auto' },
    });
    for (const latest of [false, true]) {
      const names = spans(record, { latest }).flatMap(({ attributes }) => Object.keys(attributes));
      assert.deepEqual(
        names.filter((name) => !name.startsWith('tallygate.') && !known.has(name)),
        [],
      );
    }
    const released = spans(record)[2]?.attributes ?? {};
    assert.equal(released['gen_ai.response.id'], 'chatcmpl-1');
    assert.deepEqual(released['gen_ai.response.finish_reasons'], ['stop', 'length']);
    assert.equal(released['gen_ai.request.max_tokens'], 64);
    assert.equal(released['gen_ai.request.choice.count'], 2);
    assert.equal(released['openai.request.service_tier'], 'auto');
    assert.equal(released['gen_ai.usage.cache_creation.input_tokens'], 1);
    assert.deepEqual(
      Object.keys(released).filter((name) => NEWER.includes(name)),
      [],
    );
  });

  it('have the names of OpenInference beside the others where they are wanted', () => {
    const known = new Set<unknown>(Object.values(SemanticConventions));
    const cost = { nanos: 2_500_000, currency: 'USD', catalog: undefined };
    const without = spans(traced({ cost }))[2]?.attributes ?? {};
    const [request, , attempt] = spans(traced({ cost }), { openInference: true });
    assert.equal(request?.attributes['openinference.span.kind'], 'CHAIN');
    assert.equal(attempt?.attributes['openinference.span.kind'], 'LLM');
    assert.equal(attempt?.attributes['llm.token_count.total'], 151);
    assert.equal(attempt?.attributes['llm.cost.total'], 0.0025);
    assert.equal(attempt?.attributes['gen_ai.usage.input_tokens'], 100);
    const added = Object.keys(attempt?.attributes ?? {}).filter((name) => !(name in without));
    assert.deepEqual(
      added.filter((name) => !known.has(name)),
      [],
    );
  });
});
