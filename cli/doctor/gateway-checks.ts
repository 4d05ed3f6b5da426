/** Checks of a running gateway, by what it says of itself. */
import { type CheckOutcome, type FixSection, notChecked, ok, problem, unknown, warning } from './check-result.ts';
import type { GatewayReadiness, Instance } from './instance.ts';
import type { MetricSample, MetricSamples } from './metrics-text.ts';

const NOT_ANSWERING: FixSection = 'the-gateway-does-not-answer';

const isRunning = ({ extproc }: Instance) => extproc.type !== 'nothing';

export function gatewayOutcomes(instance: Instance): readonly CheckOutcome[] {
  const { readiness, address } = instance;
  if (!isRunning(instance)) {
    return [
      notChecked('no gateway of this name runs; start it with `tallygate run`, or select another one with --name'),
    ];
  }
  if (readiness.type !== 'answer') {
    return [problem(`a gateway runs, but does not answer at ${address}`, addressFix, NOT_ANSWERING)];
  }
  const { ready, envoy, extproc, stopping } = readiness.value;
  if (ready) {
    return [ok(`ready at ${address}`)];
  }
  if (stopping) {
    return [warning('the gateway is stopping', 'wait until its streams have ended, and start it again', NOT_ANSWERING)];
  }
  const missing = [...(envoy ? [] : ['Envoy']), ...(extproc ? [] : ['extproc'])].join(' and ');
  return [problem(`not ready: ${missing || 'its policy'} is missing`, 'see the last errors in its log', NOT_ANSWERING)];
}

const addressFix = 'select the address of the running gateway with --metrics';

/** Whether the address of the console and /metrics is free or the gateway's own. */
export function addressOutcomes(instance: Instance): readonly CheckOutcome[] {
  const { address, readiness } = instance;
  if (readiness.type === 'nothing') {
    return isRunning(instance)
      ? [problem(`nothing answers at ${address}, although the gateway runs`, addressFix, NOT_ANSWERING)]
      : [ok(`${address} is free`)];
  }
  if (readiness.type === 'error') {
    return [problem(`${address}: ${readiness.message}`, otherAddressFix, 'it-does-not-start')];
  }
  return isRunning(instance)
    ? [ok(`${address} is the gateway's`)]
    : [warning(`a gateway of another name answers at ${address}`, otherAddressFix, 'it-does-not-start')];
}

const otherAddressFix = 'end the other program, or choose another address with --metrics';

export function quotaSocketOutcomes(instance: Instance): readonly CheckOutcome[] {
  if (!isRunning(instance)) {
    return [notChecked('no gateway of this name runs')];
  }
  switch (instance.quotaSocket.type) {
    case 'answer':
      return [ok('answers')];
    case 'nothing':
      return [problem('the quota socket does not answer', 'restart the gateway, and see its log', NOT_ANSWERING)];
    case 'error':
      return [problem(instance.quotaSocket.message, 'run the command as the user of the gateway', NOT_ANSWERING)];
  }
}

/** Reports by the readiness and metrics of this instance; `judge` sees both. */
function observed(
  judge: (readiness: GatewayReadiness, metrics: Metrics) => readonly CheckOutcome[],
): (instance: Instance) => readonly CheckOutcome[] {
  return (instance) => {
    const { readiness, metrics } = instance;
    if (!isRunning(instance)) {
      return [notChecked('no gateway of this name runs')];
    }
    if (readiness.type !== 'answer' || metrics.type !== 'answer') {
      return [unknown(`the gateway shows no metrics at ${instance.address}`)];
    }
    return judge(readiness.value, new Metrics(metrics.value));
  };
}

class Metrics {
  readonly #samples: MetricSamples;

  constructor(samples: MetricSamples) {
    this.#samples = samples;
  }

  /** Returns the sum of all series; 0 for a metric that does not exist. */
  sum(name: string): number {
    return this.above0(name).reduce((sum, { value }) => sum + value, 0);
  }

  above0(name: string): readonly MetricSample[] {
    return (this.#samples.get(name) ?? []).filter(({ value }) => value > 0);
  }
}

export const policyOutcomes = observed(({ policy }, metrics) => {
  if (metrics.sum('tallygate_policy_refused') > 0) {
    return [
      problem(
        `the newest policy is refused; ${policy === '' ? 'none' : policy} is in force`,
        'see the reason in the log of the gateway, and correct the files',
        'an-edit-has-no-effect',
      ),
    ];
  }
  return policy === ''
    ? [problem('no policy is in force', 'see the log of the gateway, and correct the files', 'it-does-not-start')]
    : [ok(`${policy} is in force`)];
});

export const journalOutcomes = observed(({ journal }, metrics) =>
  journal !== 'ok' || metrics.sum('tallygate_journal_failing') > 0
    ? [
        problem(
          `the journal cannot be written${journal === '' || journal === 'ok' ? '' : `: ${journal}`}`,
          'free space on the disk of the state folder; the gateway recovers by itself',
          'the-state-folder',
        ),
      ]
    : [ok('the gateway writes it')],
);

export const storeOfGatewayOutcomes = observed(({ quotaStore }, metrics) => {
  if (quotaStore === undefined) {
    return [notChecked('the gateway uses no shared store')];
  }
  return quotaStore !== 'ok' || metrics.sum('tallygate_quota_store_lost') > 0
    ? [
        problem(
          `the gateway does not reach the shared store${quotaStore === 'ok' ? '' : `: ${quotaStore}`}`,
          'repair the store or the connection; the gateway recovers by itself',
          'the-shared-store',
        ),
      ]
    : [ok('the gateway reaches the shared store')];
});

export const usageOutcomes = observed((_, metrics) => {
  const section = 'usage-is-not-exported';
  const failing = metrics.sum('tallygate_usage_exports_failing');
  const dropped = metrics.sum('tallygate_usage_exports_dropped_total');
  const lost = metrics.sum('tallygate_usage_lost_total');
  const outcomes = [
    ...(failing > 0
      ? [
          problem(
            `${failing} of the targets in TALLYGATE_USAGE_EXPORT do not accept usage`,
            'see the error in the log of the gateway, and correct the URL or the headers',
            section,
          ),
        ]
      : []),
    ...(dropped > 0
      ? [warning(`${dropped} usage records were dropped`, 'repair the target before it is away for too long', section)]
      : []),
    ...(lost > 0
      ? [warning(`${lost} usage records were not kept`, 'use a faster disk for the state folder', section)]
      : []),
  ];
  return outcomes.length > 0 ? outcomes : [ok('usage is kept, and exported where configured')];
});

export const backendOutcomes = observed((_, metrics) => {
  const resting = metrics.above0('tallygate_backend_resting');
  return resting.length > 0
    ? resting.map(({ labels }) =>
        warning(
          `${labels['tallygate_backend'] ?? 'a backend'} rests after a failure`,
          'see `failure` in the access lines of this backend, and its status page',
          'backends-rest',
        ),
      )
    : [ok('none rests')];
});

export const guardrailOutcomes = observed((_, metrics) => {
  const failures = metrics
    .above0('tallygate_guardrail_failures_total')
    .filter(({ labels }) => labels['tallygate_reason'] === 'circuit_open');
  return failures.length > 0
    ? failures.map(({ labels, value }) =>
        warning(
          `the service of ${labels['tallygate_guardrail']} failed repeatedly; ${value} texts met its open circuit`,
          'check the address and the Secret of the service, and its own log',
          'services-of-guardrails-fail',
        ),
      )
    : [ok('no circuit of a service was open since the start')];
});

export const issuerOutcomes = observed((_, metrics) => {
  const section = 'keys-and-tokens-cannot-be-fetched';
  const report = (name: string, what: string, fix: string) => {
    const count = metrics.sum(name);
    return count > 0 ? [problem(`${count} ${what}`, fix, section)] : [];
  };
  const outcomes = [
    ...report('tallygate_issuers_failing', 'issuers do not give their public keys', 'check the issuer in its policy'),
    ...report('tallygate_cloud_tokens_failing', 'tokens of clouds cannot be renewed', 'check the credential'),
    ...report('tallygate_cloud_tokens_missing', 'backends have no token of their cloud', 'check the credential'),
  ];
  return outcomes.length > 0 ? outcomes : [ok('all public keys of issuers and tokens of clouds are known')];
});
