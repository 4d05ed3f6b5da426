import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POLICY_FORMAT_VERSION } from '../../../contract/policy.ts';
import { TokenVerifier } from '../../access/token-verifier.ts';
import { type Failure, failure } from '../../errors.ts';
import type { HeaderList } from '../../exchange.ts';
import { compilePolicy } from '../../policy/compile.ts';
import { loadEncodings } from '../../tokens/encodings.ts';
import { newMeter } from '../../tokens/meter.ts';
import { FirstTokenTimes } from '../first-token-times.ts';
import type { Action, EventOf, SessionEvent } from '../protocol.ts';
import { Session } from '../session.ts';
import { basePolicy, CHAT_HEADERS } from '../testing.ts';
import type { AdmissionStep, AdmissionWait } from './admission.ts';
import { admissionSteps } from './steps.ts';

await loadEncodings();

const BODY = '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello there"}]}';
const UPLOAD_HEADERS: HeaderList = [
  [':method', 'POST'],
  [':path', '/v1/batches'],
];
const MODELS_HEADERS: HeaderList = [
  [':method', 'GET'],
  [':path', '/v1/models'],
];

const [host] = basePolicy.virtualHosts;
const [rule] = host!.rules;
const unlimited = { ...rule!, quotas: [], maxRequestBodyBytes: 200 };

/** Without quotas, and with small bodies. */
const policy = compilePolicy({
  ...basePolicy,
  virtualHosts: [
    {
      ...host!,
      rules: [
        unlimited,
        {
          ...unlimited,
          models: ['claude-x'],
          targets: [{ id: 'small/claude', backend: 'default/claude', weight: 1, priority: 0 }],
        },
      ],
      passthrough: host!.passthrough.map((one) => ({ ...one, quotas: [], maxRequestBodyBytes: 20 })),
    },
  ],
  backends: [...basePolicy.backends, { ...basePolicy.backends[0]!, name: 'default/claude', schema: 'Anthropic' }],
  quotas: [],
  formatVersion: POLICY_FORMAT_VERSION,
  version: 'test',
});

interface Handled {
  /** The types of all actions so far. */
  readonly did: readonly string[];
  readonly blocked: boolean;
}

class TestSession {
  readonly actions: Action[] = [];
  readonly #session: Session;

  constructor(steps?: readonly AdmissionStep[]) {
    this.#session = new Session(
      {
        policy,
        verifier: new TokenVerifier({ nowMs: () => 0, requestKeys: () => {} }),
        newId: () => 'id',
        traces: undefined,
        random: () => 0,
        isRevoked: () => false,
        isJudge: () => false,
        restsUntil: () => undefined,
        firstTokenTimes: new FirstTokenTimes(),
        estimates: { holdTokens: () => 16, tokensPerSecond: () => 50 },
        newMeter,
        compares: () => false,
        plainErrors: false,
      },
      steps,
    );
  }

  handle(event: SessionEvent): Handled {
    const blocked = this.#session.handle(event, 1, this.actions);
    return { did: this.actions.map(({ type }) => type).filter((type) => type !== 'keep'), blocked };
  }

  headers(headers: HeaderList, endOfStream = false): Handled {
    return this.handle({ type: 'request-headers', headers, endOfStream, routeName: 'entry' });
  }

  body(text: string, endOfStream = false): Handled {
    return this.handle({ type: 'request-body', bytes: Buffer.from(text), endOfStream });
  }

  /** The answer for which a step of `waiting` waits. */
  answer(): Handled {
    return this.handle({ type: 'counted', tokens: 1 });
  }

  get forwardedBody(): string {
    return this.actions.map((action) => (action.type === 'request-body' ? Buffer.from(action.bytes) : '')).join('');
  }

  get keptBytes(): number {
    return this.actions.reduce((sum, action) => sum + (action.type === 'keep' ? action.bytes : 0), 0);
  }

  get record() {
    const finished = this.actions.filter((action) => action.type === 'finish');
    assert.equal(finished.length, 1);
    return finished[0]!.record;
  }
}

/** The steps, with one of them waiting for an answer that another process would give. */
function waiting(name: AdmissionStep['name'], result: Failure | 'next' = 'next'): readonly AdmissionStep[] {
  const wait: AdmissionWait<EventOf<'counted'>> = {
    event: 'counted',
    cancel: { type: 'stop-count' },
    resume: () => result,
  };
  return admissionSteps.map((step) => (step.name === name ? { name, run: () => wait } : step));
}

const denied = failure('model_not_found', 'Denied by a test.');

/** The steps, which note their names as they run. */
function noted(): { readonly steps: readonly AdmissionStep[]; readonly ran: string[] } {
  const ran: string[] = [];
  const steps = admissionSteps.map(
    ({ name, run }): AdmissionStep => ({
      name,
      run(...args) {
        ran.push(name);
        return run(...args);
      },
    }),
  );
  return { steps, ran };
}

test('a collected request is routed when its body is complete', () => {
  const { steps, ran } = noted();
  const session = new TestSession(steps);
  session.headers(CHAT_HEADERS);
  session.body(BODY);
  assert.deepEqual(ran, ['signIn', 'access', 'reply', 'route']);
  session.body('', true);
  assert.deepEqual(
    ran,
    admissionSteps.map(({ name }) => name),
  );
  assert.equal(session.forwardedBody, BODY);
});

test('count_tokens takes the same steps', () => {
  const { steps, ran } = noted();
  const session = new TestSession(steps);
  session.headers([
    [':method', 'POST'],
    [':path', '/v1/messages/count_tokens'],
  ]);
  const { did } = session.body(BODY.replace('gpt-4o-mini', 'claude-x'), true);
  assert.deepEqual(
    ran,
    admissionSteps.map(({ name }) => name),
  );
  assert.deepEqual(did, ['request-headers', 'request-body']);
});

test('passthrough takes all steps at its headers', () => {
  const { steps, ran } = noted();
  const { did } = new TestSession(steps).headers(UPLOAD_HEADERS);
  assert.deepEqual(
    ran,
    admissionSteps.map(({ name }) => name),
  );
  assert.deepEqual(did, ['request-headers']);
});

test('the list of models is answered once the access step lets the caller pass', () => {
  const session = new TestSession(waiting('access'));
  assert.deepEqual(session.headers(MODELS_HEADERS, true).did, []);
  assert.deepEqual(session.answer().did, ['immediate-response', 'stop-timer', 'finish']);
  assert.equal(session.record.status, 200);
});

test('reading stops while a step waits at the headers, and parts that still arrive keep their order', () => {
  const session = new TestSession(waiting('access'));
  assert.deepEqual(session.headers(CHAT_HEADERS), { did: [], blocked: true });
  assert.deepEqual(session.body(BODY.slice(0, 10)), { did: [], blocked: true });
  assert.deepEqual(session.body(BODY.slice(10, 30)), { did: [], blocked: true });
  assert.deepEqual(session.answer(), { did: [], blocked: false });
  assert.ok(session.keptBytes > 0);
  session.body(BODY.slice(30), true);
  assert.equal(session.forwardedBody, BODY);
  assert.equal(session.keptBytes, 0);
});

test('a request whose body is complete while a step waits goes on at the answer', () => {
  const session = new TestSession(waiting('access'));
  session.headers(CHAT_HEADERS);
  assert.deepEqual(session.body(BODY), { did: [], blocked: true });
  assert.deepEqual(session.handle({ type: 'request-trailers' }), { did: [], blocked: false });
  assert.deepEqual(session.answer().did, ['request-headers', 'request-body', 'request-trailers']);
  assert.equal(session.forwardedBody, BODY);
});

test('a passthrough body that arrives while a step waits follows the headers in order', () => {
  const session = new TestSession(waiting('access'));
  assert.deepEqual(session.headers(UPLOAD_HEADERS), { did: [], blocked: true });
  assert.deepEqual(session.body('one '), { did: [], blocked: true });
  assert.deepEqual(session.body('two '), { did: [], blocked: true });
  const { did, blocked } = session.answer();
  assert.deepEqual([did, blocked], [['request-headers', 'request-body', 'request-body'], false]);
  session.body('three', true);
  assert.equal(session.forwardedBody, 'one two three');
});

test('a passthrough body that is too large when its limit becomes known is refused', () => {
  const session = new TestSession(waiting('access'));
  session.headers(UPLOAD_HEADERS);
  session.body('x'.repeat(21));
  assert.deepEqual(session.answer().did, ['immediate-response', 'stop-timer', 'finish']);
  assert.equal(session.record.failure?.code, 'request_too_large');
});

test('a collected body that becomes too large while a step waits is refused, and the step is cancelled', () => {
  const session = new TestSession(waiting('access'));
  session.headers(CHAT_HEADERS);
  const { did } = session.body(`{"model":"${'x'.repeat(200)}`);
  assert.deepEqual(did, ['stop-count', 'immediate-response', 'stop-timer', 'finish']);
  assert.equal(session.record.failure?.code, 'request_too_large');
  assert.equal(session.keptBytes, 0);
});

for (const [kind, headers] of [
  ['collected', CHAT_HEADERS],
  ['passthrough', UPLOAD_HEADERS],
] as const) {
  test(`a step that refuses a ${kind} request after waiting lets nothing through`, () => {
    const session = new TestSession(waiting('access', denied));
    session.headers(headers);
    session.body('{"model":');
    assert.deepEqual(session.answer(), { did: ['immediate-response', 'stop-timer', 'finish'], blocked: false });
    session.body('"gpt-4o-mini"}', true);
    assert.equal(session.record.failure, denied);
    assert.equal(session.forwardedBody, '');
    assert.equal(session.keptBytes, 0);
  });

  test(`a client that leaves while a step of a ${kind} request waits ends the request`, () => {
    const session = new TestSession(waiting('access'));
    session.headers(headers);
    session.body('{"model":');
    const { did } = session.handle({ type: 'closed', clean: false });
    assert.deepEqual(did, ['stop-count', 'stop-timer', 'finish', 'end']);
    assert.deepEqual(session.answer().did, did);
    assert.equal(session.record.clientLeft, true);
    assert.equal(session.keptBytes, 0);
  });

  test(`Envoy's reply while a step of a ${kind} request waits reaches the client`, () => {
    const session = new TestSession(waiting('access'));
    session.headers(headers);
    session.body('{"model":');
    const { did, blocked } = session.handle({
      type: 'response-headers',
      headers: [[':status', '504']],
      endOfStream: true,
      codeDetails: 'response_timeout',
    });
    assert.deepEqual([did, blocked], [['stop-count', 'response-headers', 'stop-timer', 'finish', 'end'], false]);
    session.answer();
    assert.equal(session.forwardedBody, '');
    assert.equal(session.keptBytes, 0);
  });
}

test('a step that waits for the prompt keeps the body and does not stop reading', () => {
  const session = new TestSession(waiting('guard'));
  session.headers(CHAT_HEADERS);
  assert.deepEqual(session.body(BODY, true), { did: [], blocked: false });
  assert.ok(session.keptBytes > 0);
  assert.deepEqual(session.answer().did, ['request-headers', 'request-body']);
  assert.equal(session.keptBytes, 0);
});

test('an answer that no step waits for changes nothing', () => {
  const session = new TestSession(waiting('access'));
  session.answer();
  assert.deepEqual(session.headers(CHAT_HEADERS), { did: [], blocked: true });
  session.handle({ type: 'reserved', decision: { type: 'count-first', limitTokens: 1 } });
  assert.deepEqual(session.answer(), { did: [], blocked: false });
});
