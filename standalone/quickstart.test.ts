import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newLoader } from './load.ts';
import { quickstart } from './quickstart.ts';

test('the quickstart examples are valid with any set of keys', async () => {
  for (const [openai, anthropic] of [
    [undefined, undefined],
    ['sk-1', undefined],
    [undefined, 'sk-2'],
    ['sk-1', 'sk-2'],
  ]) {
    const { paths, lines } = quickstart({ OPENAI_API_KEY: openai, ANTHROPIC_API_KEY: anthropic });
    const loader = newLoader({
      paths,
      environment: { OPENAI_API_KEY: openai, ANTHROPIC_API_KEY: anthropic },
      routeSecret: 'of the test',
      issuerKeys: { results: () => new Map(), want() {} },
      tokens: { results: () => new Map(), want() {} },
      envoy: {
        directory: '/run/t',
        extproc: { type: 'Unix', path: '/run/t/e' },
        admin: { type: 'Unix', path: '/run/t/a' },
        listenAddress: '127.0.0.1',
        caBundle: '/etc/ssl/cert.pem',
      },
    });
    const { plan, errors, warnings } = await loader.load();
    await loader.close();
    assert.deepEqual([...errors, ...warnings], []);
    assert.equal(plan?.policy.backends.length, 1 + Number(Boolean(openai)) + Number(Boolean(anthropic)));
    assert.doesNotMatch(JSON.stringify([plan, lines('http://x')]), /sk-/, 'no key is ever shown');
  }
});
