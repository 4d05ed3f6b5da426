import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CheckOutcome } from './check-result.ts';
import {
  addressOutcomes,
  backendOutcomes,
  gatewayOutcomes,
  guardrailOutcomes,
  issuerOutcomes,
  journalOutcomes,
  policyOutcomes,
  quotaSocketOutcomes,
  storeOfGatewayOutcomes,
  usageOutcomes,
} from './gateway-checks.ts';
import type { GatewayReadiness, Instance } from './instance.ts';
import { readMetrics } from './metrics-text.ts';

const healthy: GatewayReadiness = {
  ready: true,
  envoy: true,
  extproc: true,
  policy: '963cce04aed77b1b',
  journal: 'ok',
  quotaStore: 'ok',
  stopping: false,
};

function running(readiness: Partial<GatewayReadiness> = {}, metrics = ''): Instance {
  return {
    address: '127.0.0.1:9464',
    readiness: { type: 'answer', value: { ...healthy, ...readiness } },
    metrics: { type: 'answer', value: readMetrics(metrics) },
    extproc: { type: 'answer', value: true },
    quotaSocket: { type: 'answer', value: true },
    listeners: { type: 'answer', value: ['127.0.0.1:8080'] },
  };
}

const nothing = { type: 'nothing' } as const;
const stopped: Instance = {
  address: '127.0.0.1:9464',
  readiness: nothing,
  metrics: nothing,
  extproc: nothing,
  quotaSocket: nothing,
  listeners: nothing,
};

const states = (outcomes: readonly CheckOutcome[]) => outcomes.map(({ state }) => state);
const texts = (outcomes: readonly CheckOutcome[]) => outcomes.map(({ text }) => text).join('\n');

const all = {
  gatewayOutcomes,
  addressOutcomes,
  quotaSocketOutcomes,
  policyOutcomes,
  journalOutcomes,
  storeOfGatewayOutcomes,
  usageOutcomes,
  backendOutcomes,
  guardrailOutcomes,
  issuerOutcomes,
};

describe('checks of a gateway', () => {
  for (const [name, outcomes] of Object.entries(all)) {
    it(`${name} finds nothing wrong with a healthy gateway`, () => {
      assert.deepEqual(states(outcomes(running())), ['ok']);
    });

    it(`${name} reports no problem where no gateway runs`, () => {
      assert.deepEqual(states(outcomes(stopped)), [outcomes === addressOutcomes ? 'ok' : 'not checked']);
    });
  }

  const problems: readonly [
    CheckOutcome['state'],
    (instance: Instance) => readonly CheckOutcome[],
    Instance,
    RegExp,
  ][] = [
    ['problem', gatewayOutcomes, running({ ready: false, envoy: false }), /not ready: Envoy is missing/],
    ['problem', gatewayOutcomes, running({ ready: false, policy: '' }), /its policy is missing/],
    ['warning', gatewayOutcomes, running({ ready: false, stopping: true }), /is stopping/],
    ['problem', gatewayOutcomes, { ...running(), readiness: nothing }, /does not answer at 127.0.0.1:9464/],
    ['problem', addressOutcomes, { ...running(), readiness: nothing }, /nothing answers/],
    [
      'problem',
      addressOutcomes,
      { ...stopped, readiness: { type: 'error', message: 'another program answers' } },
      /another program answers/,
    ],
    ['warning', addressOutcomes, { ...running(), extproc: nothing }, /a gateway of another name/],
    ['problem', quotaSocketOutcomes, { ...running(), quotaSocket: nothing }, /does not answer/],
    [
      'problem',
      quotaSocketOutcomes,
      { ...running(), quotaSocket: { type: 'error', message: 'connect EACCES' } },
      /connect EACCES/,
    ],
    ['problem', policyOutcomes, running({}, 'tallygate_policy_refused 1'), /refused; 963cce04aed77b1b is in force/],
    ['problem', policyOutcomes, running({ policy: '' }), /no policy is in force/],
    ['problem', journalOutcomes, running({ journal: 'ENOSPC' }), /cannot be written: ENOSPC/],
    ['problem', journalOutcomes, running({}, 'tallygate_journal_failing 1'), /cannot be written$/],
    ['problem', storeOfGatewayOutcomes, running({ quotaStore: 'ECONNREFUSED' }), /: ECONNREFUSED/],
    ['problem', storeOfGatewayOutcomes, running({}, 'tallygate_quota_store_lost 1'), /does not reach/],
    ['problem', usageOutcomes, running({}, 'tallygate_usage_exports_failing 2'), /^2 of the targets/],
    ['warning', usageOutcomes, running({}, 'tallygate_usage_exports_dropped_total 7'), /^7 usage records were drop/],
    ['warning', usageOutcomes, running({}, 'tallygate_usage_lost_total 3'), /^3 usage records were not kept/],
    [
      'warning',
      backendOutcomes,
      running({}, 'tallygate_backend_resting{tallygate_backend="ai/openai"} 1\ntallygate_backend_resting{x="y"} 0'),
      /^ai\/openai rests/,
    ],
    [
      'warning',
      guardrailOutcomes,
      running(
        {},
        'tallygate_guardrail_failures_total{tallygate_guardrail="ai/pii/names",tallygate_reason="circuit_open"} 4',
      ),
      /ai\/pii\/names failed repeatedly; 4 texts/,
    ],
    ['problem', issuerOutcomes, running({}, 'tallygate_issuers_failing 1'), /^1 issuers/],
    ['problem', issuerOutcomes, running({}, 'tallygate_cloud_tokens_missing 1'), /no token/],
  ];
  for (const [state, outcomes, instance, text] of problems) {
    it(`reports ${text.source} as a ${state} with its fix`, () => {
      const found = outcomes(instance);
      assert.deepEqual(states(found), [state]);
      assert.match(texts(found), text);
      assert.ok(found[0]?.fix && found[0].section);
    });
  }

  it('does not call a failure of another kind an open circuit', () => {
    const metrics = 'tallygate_guardrail_failures_total{tallygate_guardrail="a/b/c",tallygate_reason="timeout"} 4';
    assert.deepEqual(states(guardrailOutcomes(running({}, metrics))), ['ok']);
  });

  it('does not check a gateway without a shared store for one', () => {
    const { quotaStore: _, ...value } = healthy;
    const instance: Instance = { ...running(), readiness: { type: 'answer', value } };
    assert.deepEqual(states(storeOfGatewayOutcomes(instance)), ['not checked']);
  });
});

describe('readMetrics', () => {
  it('reads labels with escapes and skips comments', () => {
    const text = '# HELP a b\n# TYPE a gauge\na{x="1\\"2\\n",y="}"} 1.5 1700000000\nb 2\nwrong line here\n';
    assert.deepEqual([...readMetrics(text)].slice(0, 2), [
      ['a', [{ labels: { x: '1"2\n', y: '}' }, value: 1.5 }]],
      ['b', [{ labels: {}, value: 2 }]],
    ]);
  });
});
