/**
 * A route in which each model is a rule with its own limits, so that one gateway serves many tests;
 * and queries about budgets.
 */
import assert from 'node:assert/strict';
import { type Answered, type CallOptions, call, type OpenCall, open } from './client.ts';
import type { AccessRecord } from './records.ts';
import { type Document, quotaPolicy, type RuleOptions, route } from './resources.ts';
import { documentsOf } from './sse.ts';
import { wordCount } from './words.ts';
import { CLAUDE, MODEL, type World } from './world.ts';

export interface Limited {
  readonly quotas: readonly Document[];
  /** Fields of the policy. */
  readonly more?: Document;
  /** Fields of the rule. */
  readonly rule?: Document;
}

/** `limits` maps the client's model name to its limits. */
export function limitedRoute(limits: Readonly<Record<string, Limited>>): readonly Document[] {
  const rules = Object.entries(limits).flatMap(([model, { rule }]): RuleOptions[] => [
    {
      name: model,
      models: [model],
      backendRefs: [
        { name: 'openai', model: MODEL },
        { name: 'anthropic', model: CLAUDE },
      ],
      ...(rule && { more: rule }),
    },
    // TGI's own endpoints name no model.
    {
      name: `${model}-tgi`,
      models: ['*'],
      backendRefs: [{ name: 'tgi' }],
      more: { headers: [{ name: 'x-engine', value: model }] },
    },
  ]);
  const policies = Object.entries(limits).flatMap(([model, { quotas, more }]) => [
    quotaPolicy(model, 'limits', quotas, {
      ...more,
      targetRefs: [model, `${model}-tgi`].map((sectionName) => ({
        group: 'tallygate.dev',
        kind: 'AIGatewayRoute',
        name: 'limits',
        sectionName,
      })),
    }),
  ]);
  return [route('limits', rules), ...policies];
}

export interface Ask extends CallOptions {
  readonly team: string;
  readonly body?: Document;
}

function chatArguments(world: World, model: string, { team, body, ...options }: Ask) {
  return [
    `${world.gateway.url}/v1/chat/completions`,
    { model, messages: [{ role: 'user', content: 'Hello there' }], ...body },
    { ...options, headers: { 'x-team': team, ...options.headers } },
  ] as const;
}

/** Sends one chat request of a team and waits for its end. */
export function chat(world: World, model: string, ask: Ask): Promise<Answered> {
  return call(...chatArguments(world, model, ask));
}

export function openChat(world: World, model: string, ask: Ask): Promise<OpenCall> {
  return open(...chatArguments(world, model, ask));
}

/** Waits for `count` records of a team. */
export function recordsOf(world: World, team: string, count: number): Promise<readonly AccessRecord[]> {
  return world.gateway.recordsWhere(team, count, (record) => record.keys.includes(team), 10_000);
}

export function chargedBy(records: readonly AccessRecord[]): number {
  return records.reduce((sum, record) => sum + (record.inputTokens ?? 0) + (record.outputTokens ?? 0), 0);
}

/**
 * Returns the visible tokens of a chat stream, all choices together; reads a broken stream up to
 * its end.
 */
export function deliveredTokens(text: string): number {
  const whole = text.slice(0, text.lastIndexOf('\n\n') + 2);
  return documentsOf(whole)
    .flatMap((event) => (event['choices'] ?? []) as { delta?: { content?: string | null } }[])
    .reduce((sum, choice) => sum + wordCount(choice.delta?.content ?? ''), 0);
}

/** Returns the state of the quota store, from the headers of a response. */
export function usedBy(answer: Answered): number {
  const limit = Number(answer.headers['x-ratelimit-limit-tokens']);
  const remaining = Number(answer.headers['x-ratelimit-remaining-tokens']);
  assert.ok(Number.isFinite(limit - remaining), `no rate limit headers: ${JSON.stringify(answer.headers)}`);
  return limit - remaining;
}
