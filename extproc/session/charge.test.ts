import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RequestFacts } from '../providers/adapter.ts';
import { textUsage, type Usage } from '../usage.ts';
import { type Cost, cost } from './charge.ts';

const FACTS: RequestFacts = {
  model: 'm',
  stream: true,
  choices: 2,
  leastOutputTokens: 1,
  hasOutput: true,
  hiddenOutput: false,
  usageAsked: true,
  textBytes: 40,
  overheadTokens: 8,
  mediaTokens: 0,
  givenTokens: 0,
  unbounded: [],
};

/** A request of 12 tokens whose visible response has 7. */
function charged(usage: Usage | undefined, more: Partial<Parameters<typeof cost>[0]> = {}): Cost {
  return cost({
    facts: FACTS,
    choiceTokens: 500,
    undeliveredTokens: 0,
    usage,
    usageFinal: usage !== undefined,
    serviceTier: undefined,
    countInput: () => 12,
    countOutput: () => 7,
    buckets: [],
    heldInputTokens: 48,
    heldOutputTokens: 1000,
    hidden: false,
    cut: false,
    ...more,
  });
}

const told = ({ usage, source }: Cost) => [usage.input, usage.output, source];

describe('a charge', () => {
  it("uses the provider's usage", () => {
    assert.deepEqual(told(charged(textUsage(10, 5))), [10, 5, 'provider']);
  });

  it('covers the received text where usage came early or the stream was truncated', () => {
    assert.deepEqual(told(charged(textUsage(10, 5), { usageFinal: false })), [10, 7, 'mixed']);
    assert.deepEqual(told(charged(textUsage(10, 5), { cut: true })), [10, 7, 'mixed']);
    assert.deepEqual(told(charged(textUsage(10, 9), { cut: true })), [10, 9, 'mixed']);
  });

  it('treats 0 as not reported where text arrived', () => {
    assert.deepEqual(told(charged(textUsage(0, 0))), [12, 7, 'estimated']);
    assert.deepEqual(told(charged(textUsage(0, 5))), [12, 5, 'mixed']);
    assert.deepEqual(told(charged(textUsage(10, 0))), [10, 7, 'mixed']);
    assert.deepEqual(told(charged(textUsage(10, 0), { countOutput: () => 0 })), [10, 0, 'provider']);
  });

  it('accepts usage far above the bounds of the request', () => {
    assert.deepEqual(told(charged(textUsage(200_000, 5))), [200_000, 5, 'provider']);
    assert.deepEqual(told(charged(textUsage(10, 1_000_000))), [10, 1_000_000, 'provider']);
    const facts: RequestFacts = { ...FACTS, unbounded: ['server_tool'] };
    assert.deepEqual(told(charged(textUsage(10_000_000, 5), { facts })), [10_000_000, 5, 'provider']);
  });

  it('rejects usage that no such request can cost', () => {
    assert.deepEqual(told(charged(textUsage(2 ** 40, 5))), [12, 5, 'mixed']);
    assert.deepEqual(told(charged(textUsage(10, 2 ** 40))), [10, 1000, 'mixed']);
    assert.deepEqual(told(charged(textUsage(10, 2 ** 40), { countOutput: () => 2000 })), [10, 2000, 'mixed']);
  });
});
