/**
 * Local replies of any part of Envoy reach the official clients in the error format of their
 * provider.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { anthropicClient, errorOf, mock, openaiClient, say } from '../data-plane/support/clients.ts';
import type { Document } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { install } from './support/helm.ts';
import { apply, kubectl } from './support/kubectl.ts';
import { backendOf, type ClusterWorld, routeOf, startClusterWorld, waitUntilEnforcing } from './support/world.ts';

const NAMESPACE = 'tge-answers';
const AT_ONCE = 10;
const ANY = [{ name: '*', maxOutputTokens: 100 }];

let world: ClusterWorld;
before(async () => {
  await install();
  world = await startClusterWorld(NAMESPACE);
  // A Service without a pod.
  const nobody = { selector: { app: 'nobody' }, ports: [{ port: 8080 }] };
  const timeouts = { request: '1s' };
  await apply([
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'nobody', namespace: NAMESPACE }, spec: nobody },
    ...backendOf(NAMESPACE, 'gone', 'OpenAI', 'nobody', ANY),
    ...backendOf(NAMESPACE, 'gone-claude', 'Anthropic', 'nobody', ANY),
    routeOf(NAMESPACE, 'bad', [
      { name: 'slow', models: ['slow'], backendRefs: [{ name: 'openai' }], timeouts },
      { name: 'slow-claude', models: ['claude-slow'], backendRefs: [{ name: 'anthropic' }], timeouts },
      { name: 'gone', models: ['gone'], backendRefs: [{ name: 'gone' }] },
      { name: 'gone-claude', models: ['claude-gone'], backendRefs: [{ name: 'gone-claude' }] },
    ]),
  ]);
  await waitUntilEnforcing(NAMESPACE, 'bad');
});
after(() => world?.stop());

/** A response after the timeout of the route. */
const late = mock({ tokens: 3, delayMs: 5_000 });

function openai(model: string, options = mock({ tokens: 3 })) {
  const request = { model, messages: say('Hello'), max_completion_tokens: 9 };
  return openaiClient(world.url).chat.completions.create(request, options);
}

function anthropic(model: string, options = mock({ tokens: 3 })) {
  const request = { model, max_tokens: 9, messages: say('Hello') };
  return anthropicClient(world.url).messages.create(request, options);
}

interface Answer {
  readonly status: number;
  readonly code: string;
  /** The `error.type` of each API. */
  readonly openai: string;
  readonly anthropic: string;
}

/** Asserts the status, type and code that both official clients read. */
async function assertBothReceive(
  answer: Answer,
  models: readonly [string, string],
  options?: typeof late,
): Promise<void> {
  const ofOpenai = await errorOf(openai(models[0], options));
  assert.ok(ofOpenai instanceof OpenAI.APIError, String(ofOpenai));
  const { status, code, type } = ofOpenai;
  assert.deepEqual([status, code, type], [answer.status, answer.code, answer.openai]);
  const ofAnthropic = await errorOf(anthropic(models[1], options));
  assert.ok(ofAnthropic instanceof Anthropic.APIError, String(ofAnthropic));
  const error = ofAnthropic.error as { readonly type: string; readonly error: Readonly<Record<string, string>> };
  assert.deepEqual(
    [ofAnthropic.status, error.type, error.error['type'], error.error['code']],
    [answer.status, 'error', answer.anthropic, answer.code],
  );
  assert.equal(ofAnthropic.headers?.get('content-type'), 'application/json');
}

it('a request after the timeout of the route gets 504', () =>
  assertBothReceive(
    { status: 504, code: 'timeout', openai: 'server_error', anthropic: 'timeout_error' },
    ['slow', 'claude-slow'],
    late,
  ));

it('a request to a Service without pods gets 503', () =>
  assertBothReceive(
    { status: 503, code: 'backend_unavailable', openai: 'server_error', anthropic: 'overloaded_error' },
    ['gone', 'claude-gone'],
  ));

describe('policies of a user on the Gateway', () => {
  const good = ['gpt-4o-mini', 'claude-mock-1'] as const;

  /**
   * Returns how many of concurrent requests are refused. Concurrent, so that no connection to an
   * older listener is idle.
   */
  async function refusedOf(count: number): Promise<number> {
    const asked = Array.from({ length: count / 2 }, () => [openai(good[0]), anthropic(good[1])]).flat();
    const refused = await Promise.all(asked.map((each) => each.then(() => false, Boolean)));
    return refused.filter(Boolean).length;
  }

  /** Runs `work` while a policy is in force, and waits until its removal has taken effect. */
  async function with_(kind: string, more: Document, work: () => Promise<void>): Promise<void> {
    const metadata = { name: 'mine', namespace: NAMESPACE };
    const targetRefs = [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }];
    await apply([{ apiVersion: 'gateway.envoyproxy.io/v1alpha1', kind, metadata, spec: { targetRefs, ...more } }]);
    await waitFor('refusal', async () => (await refusedOf(AT_ONCE)) === AT_ONCE, 20_000);
    await work();
    await kubectl('-n', NAMESPACE, 'delete', kind, 'mine');
    await waitFor('open door', async () => (await refusedOf(AT_ONCE)) === 0, 20_000);
  }

  it('answer 401 before the filter', async () => {
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'callers', namespace: NAMESPACE },
      stringData: { alice: 'key-of-alice' },
    };
    await apply([secret]);
    const apiKeyAuth = { credentialRefs: [{ name: 'callers' }], extractFrom: [{ headers: ['x-client-key'] }] };
    await with_('SecurityPolicy', { apiKeyAuth }, () =>
      assertBothReceive(
        {
          status: 401,
          code: 'unauthenticated',
          openai: 'authentication_error',
          anthropic: 'authentication_error',
        },
        good,
      ),
    );
  });

  it('answer 403 after the filter', () =>
    with_('SecurityPolicy', { authorization: { defaultAction: 'Deny' } }, () =>
      assertBothReceive(
        { status: 403, code: 'forbidden', openai: 'permission_error', anthropic: 'permission_error' },
        good,
      ),
    ));

  it('answer 429 beyond a rate limit', () => {
    const limit = { requests: 1, unit: 'Hour' };
    const bothAreLimited = () =>
      assertBothReceive(
        { status: 429, code: 'request_rate_exceeded', openai: 'rate_limit_error', anthropic: 'rate_limit_error' },
        good,
      );
    // A new version of Envoy’s routes begins with full buckets: one request of each may pass.
    return with_('BackendTrafficPolicy', { rateLimit: { type: 'Local', local: { rules: [{ limit }] } } }, () =>
      bothAreLimited().catch(async () => {
        await refusedOf(AT_ONCE);
        await bothAreLimited();
      }),
    );
  });
});
