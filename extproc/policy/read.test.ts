/**
 * What the controller writes and the data plane reads in pieces: the same policy, and of the one
 * before what is the same.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccessPolicy, ApiKey, SignIn } from '../../contract/access-policy.ts';
import type { GatewayPolicy } from '../../contract/policy.ts';
import { policyText } from '../../contract/policy-text.ts';
import { compilePolicy, compiling } from './compile.ts';
import { newPolicyReader, PolicyError } from './read.ts';
import { inSlices } from './slices.ts';

const quota = {
  id: 'app/teams/tokens',
  limit: { type: 'TotalTokens', amount: 5 },
  window: { type: 'Lifetime' },
  key: [],
  onMissingKey: 'Shared',
  mode: 'Enforce',
  queueTimeoutMs: 0,
  unbounded: 'Allow',
  onJournalLoss: 'FailClosed',
  onStoreLoss: 'FailClosed',
  unmetered: 'Refuse',
  onAbandon: 'Hold',
} as const;

const accessPolicy: AccessPolicy = {
  name: 'app/internal',
  authenticators: [
    { type: 'APIKey', id: 'app/internal/keys' },
    {
      type: 'JWT',
      id: 'app/internal/sso',
      issuer: 'https://issuer.example',
      audiences: ['gateway'],
      algorithms: ['RS256'],
      clockSkewSeconds: 30,
      keys: [{ kty: 'RSA', kid: 'one', n: 'AQ', e: 'AQAB' }],
      keysUrl: 'https://issuer.example/keys',
      identity: { tenant: { claim: 'team' } },
    },
    { type: 'ClientCertificate', id: 'app/internal/mesh', identity: { user: { from: 'Subject' } } },
  ],
  allow: [{ name: 'all', principals: [{ authenticated: true }], models: ['gpt-*'], endpoints: ['chat'] }],
  revokeStreams: true,
};

const apiKey: ApiKey = {
  id: 'app/key',
  digest: `0a${'0'.repeat(62)}`,
  authenticators: ['app/internal/keys'],
  groups: [],
  expiresAtMs: 1,
};

const signIn: SignIn = {
  issuer: 'https://issuer.example',
  clientId: 'cli',
  audiences: ['gateway'],
  scopes: ['openid'],
  token: 'access',
};

function policyOf(rules: number, changed = -1): GatewayPolicy {
  return {
    formatVersion: 6,
    version: `of ${rules}, ${changed}`,
    virtualHosts: [
      {
        routeNames: ['httproute/app/entry/rule/0', 'über'],
        rules: Array.from({ length: rules }, (_, index) => ({
          route: `app/route-${index}`,
          name: 'all',
          models: [index === changed ? 'changed\n' : `model-${index}`, '{"é},*'],
          headers: [],
          targets: [{ id: `all/${index}`, backend: 'app/openai', weight: 1, priority: 0 }],
          quotas: [quota.id],
          requestLimits: {},
          access: [],
          maxRequestBodyBytes: 1000,
        })),
        passthrough: [],
        access: [accessPolicy.name],
        signIn,
      },
      { routeNames: ['stray'], rules: [], passthrough: [], access: [] },
    ],
    backends: [{ name: 'app/openai', schema: 'OpenAI', tokenizer: { encoding: 'Auto' }, models: [] }],
    quotas: [quota],
    accessPolicies: [accessPolicy],
    apiKeyShards: [{ shard: '0a', keys: [apiKey] }],
  };
}

test('what is read is what was written', async () => {
  const policy = policyOf(50);
  assert.deepEqual(await newPolicyReader().read(policyText(policy)), policy);
  const empty = { ...policy, virtualHosts: [], backends: [], quotas: [], accessPolicies: [], apiKeyShards: [] };
  assert.deepEqual(await newPolicyReader().read(policyText(empty)), empty);
});

test('a rule that serves many host names is written once, and read as one object', async () => {
  const [entry] = policyOf(100).virtualHosts;
  const virtualHosts = Array.from({ length: 16 }, (_, index) => ({ ...entry!, routeNames: [`host-${index}`] }));
  const one = policyText(policyOf(100)).length;
  const content = policyText({ ...policyOf(100), virtualHosts });
  assert.ok(content.length < 2 * one, `${content.length} bytes for 16 host names, ${one} for one`);
  const read = await newPolicyReader().read(content);
  assert.deepEqual(read.virtualHosts, virtualHosts);
  assert.equal(read.virtualHosts[0]!.rules[7], read.virtualHosts[15]!.rules[7]);
});

test('an entry with many route names is written in several lines', async () => {
  const policy = policyOf(5000);
  const routeNames = Array.from({ length: 1000 }, (_, index) => `route-${index}`);
  const large = { ...policy, virtualHosts: [{ ...policy.virtualHosts[0]!, routeNames }, policy.virtualHosts[1]!] };
  const content = policyText(large);
  assert.deepEqual(await newPolicyReader().read(content), large);
  const longest = Math.max(
    ...content
      .toString()
      .split('\n')
      .map((line) => line.length),
  );
  assert.ok(longest < 64 * 1024, `a line of ${longest} characters`);
});

test('what does not change is neither read nor compiled again', async () => {
  const reader = newPolicyReader();
  const [before, after] = [await reader.read(policyText(policyOf(9))), await reader.read(policyText(policyOf(9, 4)))];
  const rulesOf = (policy: GatewayPolicy) => compilePolicy(policy).entry('über')!.rules;
  const [old, now] = [rulesOf(before), rulesOf(after)];
  const same = now.map((rule, index) => rule === old[index]);
  assert.deepEqual(
    same,
    same.map((_, index) => index !== 4),
  );
  assert.ok(now[4]!.models[0]!.matches('changed\n'));
  // Another quota of the same name is another rule.
  const more = await reader.read(policyText({ ...policyOf(9, 4), quotas: [{ ...quota, queueTimeoutMs: 1 }] }));
  assert.equal(rulesOf(more)[0]?.quotas[0]?.queueTimeoutMs, 1);
});

test('others come to their turn while a large one is read and compiled', async () => {
  let pauses = 0;
  const pause = async () => void pauses++;
  const content = policyText(policyOf(20_000));
  const policy = await newPolicyReader(pause).read(content);
  await inSlices(compiling(policy), pause);
  // It takes 50 ms and more.
  assert.ok(pauses >= 5, `${pauses} pauses`);
  // A piece of work is a line, a rule or a pattern; the clock is looked at after each.
  assert.ok([...compiling(policy)].length >= 20_000);
});

const refusals: readonly (readonly [what: string, spoil: (policy: GatewayPolicy) => object, message: RegExp])[] = [
  [
    'a limit type that is not known',
    (p) => ({ ...p, quotas: [{ ...quota, limit: { type: 'Money', amount: 5 } }] }),
    /line 3: quota\.limit\.type of app\/teams\/tokens: /,
  ],
  [
    'a principal that matches every caller',
    (p) => ({ ...p, accessPolicies: [{ ...accessPolicy, allow: [{ name: 'all', principals: [{}] }] }] }),
    /accessPolicy\.allow\[0\]\.principals\[0\] of app\/internal: must not be empty/,
  ],
  [
    'an enum value that is not known',
    (p) => ({ ...p, quotas: [{ ...quota, mode: 'Off' }] }),
    /quota\.mode of app\/teams\/tokens: /,
  ],
  [
    'a window that is not known',
    (p) => ({ ...p, quotas: [{ ...quota, window: { type: 'Moon' } }] }),
    /quota\.window\.type/,
  ],
  [
    'a field that is not known',
    (p) => ({ ...p, quotas: [{ ...quota, burst: 2 }] }),
    /quota of app\/teams\/tokens: .*burst/,
  ],
  [
    'an amount that is no safe integer',
    (p) => ({ ...p, quotas: [{ ...quota, limit: { type: 'Requests', amount: 1e300 } }] }),
    /quota\.limit\.amount/,
  ],
  [
    'a backend with an unknown schema',
    (p) => ({ ...p, backends: [{ ...p.backends[0], schema: 'Bedrock' }] }),
    /backend\.schema of app\/openai/,
  ],
  [
    'a rule whose target lacks its weight',
    (p) => ({
      ...p,
      virtualHosts: [
        {
          ...p.virtualHosts[0],
          rules: [{ ...p.virtualHosts[0]!.rules[0], targets: [{ id: 'a', backend: 'app/openai', priority: 0 }] }],
        },
      ],
    }),
    /rule\.targets\[0\]\.weight of app\/route-0\/all/,
  ],
  [
    'another format',
    (p) => ({ ...p, formatVersion: 99 }),
    /line 1: the policy has format 99; this program reads format 6/,
  ],
];

for (const [what, spoil, message] of refusals) {
  test(`${what} is refused with its path`, async () => {
    const content = policyText(spoil(policyOf(1)) as GatewayPolicy);
    await assert.rejects(newPolicyReader().read(content), (error: Error) => {
      assert.match(error.message, message);
      return error instanceof PolicyError;
    });
  });
}

test('text that is cut off, spoilt or in the form of before is refused', async () => {
  const content = policyText(policyOf(100));
  const lines = content.toString().split('\n');
  const texts = [
    content.subarray(0, content.length / 2),
    ...['', '{}', 'null', '[]', '{"policy":1}', JSON.stringify({ ...policyOf(1), formatVersion: 6 })].map((text) =>
      Buffer.from(text),
    ),
    Buffer.from(lines.slice(0, -1).join('\n')),
    Buffer.from([...lines, lines[0]].join('\n')),
    Buffer.from([lines[0], lines.at(-1), ...lines.slice(1, -1)].join('\n')),
    Buffer.from([...lines, '{"exec":{}}'].join('\n')),
    Buffer.from([...lines, '{"__proto__":{}}'].join('\n')),
  ];
  for (const text of texts) {
    await assert.rejects(newPolicyReader().read(text), PolicyError, text.toString().slice(0, 80));
  }
});
