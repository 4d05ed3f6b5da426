/** Records for tests. */
import type { Quota } from '../../contract/policy.ts';
import type { BucketRef } from '../quota/store.ts';
import type { RequestRecord } from '../record.ts';

const quota: Quota = {
  id: 'default/teams/hour',
  limit: { type: 'TotalTokens', amount: 1000 },
  window: { type: 'Calendar', unit: 'Hour', timeZone: 'UTC' },
  key: [{ type: 'Header', name: 'x-team' }, { type: 'Model' }],
  onMissingKey: 'Refuse',
  mode: 'Enforce',
  queueTimeoutMs: 0,
  unbounded: 'Allow',
  onJournalLoss: 'FailClosed',
  onStoreLoss: 'FailClosed',
  unmetered: 'Refuse',
  onAbandon: 'Hold',
};

export const bucket: BucketRef = { quota, key: 'default/teams/hour|red|small', values: ['red', 'small'] };

export const outcomeOfStream: RequestRecord = {
  requestId: 'r1',
  route: 'default/chat',
  rule: 'small',
  backend: 'default/openai',
  schema: 'OpenAI',
  conversion: undefined,
  operation: 'chat',
  method: 'POST',
  path: '/v1/chat/completions',
  model: 'small',
  modelIsKnown: true,
  responseModel: 'small-2026',
  stream: true,
  status: 200,
  startMs: Date.UTC(2026, 10, 22, 12),
  firstTokenMs: Date.UTC(2026, 10, 22, 12) + 250,
  endMs: Date.UTC(2026, 10, 22, 12) + 1250.04,
  usage: {
    input: 100,
    output: 51,
    cachedInput: 60,
    cacheWriteInput: 0,
    cacheWrite1hInput: 0,
    reasoningOutput: 0,
    audioInput: 0,
    audioOutput: 0,
  },
  source: 'provider',
  cost: undefined,
  undeliveredTokens: undefined,
  estimatedOutputTokens: 50,
  agent: undefined,
  access: undefined,
  decision: { type: 'admitted', queuedMs: 0, shadowRefused: [] },
  buckets: [bucket],
  failure: undefined,
  clientLeft: false,
  broken: undefined,
  providerRequestId: undefined,
  unmetered: false,
  requestBytes: 500,
  responseBytes: 9000,
  observed: undefined,
};
