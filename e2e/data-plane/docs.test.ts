/**
 * Runs the commands, programs and routes of README, guides and examples as a reader would, and
 * compares their output.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { freePorts } from '../../fixtures/free-ports.ts';
import { call } from './support/client.ts';
import { say } from './support/clients.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { blocksOf, missingLine, repository, runScript, shellExamples } from './support/pages.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { waitFor } from './support/wait.ts';

async function startExample(
  name: string,
  changed: (yaml: string) => string,
  environment: Readonly<Record<string, string>> = {},
): Promise<Gateway> {
  const [port = 0] = await freePorts(1);
  const yaml = readFileSync(path.join(repository, 'examples', name), 'utf8').replace('port: 8080', `port: ${port}`);
  return startGateway([], { port, yaml: changed(yaml), environment });
}

/**
 * Prevents a calendar minute from ending between two examples. Retrying must still be useful, as
 * with a calendar minute.
 */
const anyMinute = (yaml: string) =>
  yaml.replace(/window: .*unit: Minute.*$/m, 'window: {type: Sliding, sliding: {duration: 50s}}');

/** Returns the names of the fields, except the one that is present only after a wait. */
const fieldsOf = (line: object) => Object.keys(line).filter((name) => name !== 'queuedMs');

async function runProgram(name: string, environment: Readonly<Record<string, string>>): Promise<string> {
  // bash treats itself as a remote shell if its input is a socket.
  const { stdout } = await promisify(execFile)('bash', ['-c', `make --silent client NAME=${name} < /dev/null`], {
    cwd: repository,
    env: { PATH: process.env['PATH'], ...environment },
    timeout: 60_000,
  });
  return stdout;
}

describe('with the quickstart', () => {
  let gateway: Gateway;
  before(async () => {
    gateway = await startExample('quickstart.yaml', anyMinute);
  });
  after(() => gateway?.stop());

  for (const page of ['README.md', 'docs/guides/clients.md', 'docs/guides/running.md']) {
    it(`${page} shows the real output of its commands`, async () => {
      const examples = shellExamples(page);
      assert.ok(examples.length > 0);
      for (const { script, shown } of examples) {
        const output = await runScript(script, {
          'http://127.0.0.1:8080': gateway.url,
          'http://127.0.0.1:9464': gateway.metricsUrl,
        });
        assert.equal(missingLine(shown, output), undefined, `${script}\n${output}`);
      }
    });
  }

  it('access lines have the documented fields', async () => {
    const shown = blocksOf('docs/guides/observing.md')
      .filter(({ info }) => info === 'json access')
      .map(({ text }) => JSON.parse(text) as Readonly<Record<string, unknown>>);
    assert.equal(shown.length, 2);
    for (const line of shown) {
      const record = await waitFor('record', () => gateway.records.find((one) => one.decision === line['decision']));
      assert.deepEqual(fieldsOf(JSON.parse(record.line)), fieldsOf(line));
    }
  });
});

describe('the example program serves', () => {
  let provider: Provider;
  before(async () => {
    provider = await startProvider({ tokens: 20 });
  });
  after(() => provider?.stop());

  it('OpenAI', async () => {
    const gateway = await startExample('quickstart.yaml', anyMinute);
    const output = await runProgram('openai', { OPENAI_BASE_URL: `${gateway.url}/v1`, OPENAI_API_KEY: 'unused' });
    const shown = blocksOf('docs/guides/clients.md').find(({ info }) => info === 'text output=openai');
    assert.equal(missingLine(shown!.text, output), undefined, output);
    await gateway.stop();
  });

  it('Anthropic', async () => {
    const here = `{type: Hostname, hostname: {name: 127.0.0.1, port: ${provider.port}}, tls: {mode: Disabled}}`;
    const gateway = await startExample(
      'anthropic.yaml',
      (yaml) => yaml.replace('{type: Hostname, hostname: {name: api.anthropic.com}}', here),
      { ANTHROPIC_API_KEY: 'sk-real' },
    );
    const output = await runProgram('anthropic', { ANTHROPIC_BASE_URL: gateway.url, ANTHROPIC_API_KEY: 'unused' });
    assert.match(output, /^end_turn 20 tokens\nleft \d+\n$/);
    assert.equal(provider.seen.at(-1)?.headers['x-api-key'], 'sk-real');
    await gateway.stop();
  });

  it('Text Generation Inference', async () => {
    const gateway = await startExample('tgi.yaml', (yaml) => yaml.replace('port: 8081', `port: ${provider.port}`));
    const block = blocksOf('docs/guides/clients.md').find(({ info }) => info === 'sh tgi');
    const output = await runScript(block!.text, { 'http://127.0.0.1:8080': gateway.url });
    assert.ok(JSON.parse(output).generated_text.length > 0, output);
    await gateway.stop();
  });
});

describe('the example routes in', () => {
  let provider: Provider;
  before(async () => {
    provider = await startProvider({ tokens: 3 });
  });
  after(() => provider?.stop());

  const led = (yaml: string) =>
    yaml
      .replaceAll(
        /\{type: Hostname, hostname: \{name: api\.[^}]*\}\}/g,
        `{type: Hostname, hostname: {name: 127.0.0.1, port: ${provider.port}}, tls: {mode: Disabled}}`,
      )
      .replace('port: 8000', `port: ${provider.port}`);

  it('examples/openai.yaml limit teams and serve an alias', async () => {
    const gateway = await startExample('openai.yaml', led, { OPENAI_API_KEY: 'sk-real' });
    const body = { model: 'cheap', messages: say('Hello') };
    const url = `${gateway.url}/v1/chat/completions`;
    assert.equal((await call(url, body)).json.error.code, 'missing_quota_key');
    const answer = await call(url, body, { headers: { 'x-team': 'red' } });
    assert.equal(answer.headers['x-ratelimit-limit-tokens'], '100000');
    assert.equal(answer.headers['x-ratelimit-limit-requests'], '600');
    const seen = provider.seen.at(-1);
    assert.equal(JSON.parse(seen!.body).model, 'gpt-4o-mini');
    assert.equal(seen?.headers['authorization'], 'Bearer sk-real');
    await gateway.stop();
  });

  it('examples/routing.yaml use weights, headers, priorities and a passthrough', async () => {
    const keys = { OPENAI_API_KEY: 'sk-openai', BACKUP_API_KEY: 'sk-backup' };
    const gateway = await startExample('routing.yaml', led, keys);
    const ask = async (mock: object = {}, headers: Readonly<Record<string, string>> = {}) => {
      const answer = await call(
        `${gateway.url}/v1/chat/completions`,
        { model: 'assistant', messages: say('Hello') },
        { headers, mock },
      );
      const seen = provider.seen.at(-1)!;
      return { status: answer.status, model: JSON.parse(seen.body).model, seen };
    };
    const models = new Set<string>();
    await waitFor('both weights', async () => models.add((await ask()).model).size === 2, 20_000);
    assert.deepEqual([...models].sort(), ['gpt-4.1-mini', 'gpt-4o-mini']);
    const batch = await ask({}, { 'x-tier': 'batch' });
    assert.equal(batch.model, 'llama-3.1-8b');
    assert.equal(batch.seen.headers['authorization'], undefined);
    const backup = await waitFor(
      'the backup',
      async () => {
        const { seen } = await ask({ status: 500 });
        return seen.headers['api-key'] === undefined ? undefined : seen;
      },
      20_000,
    );
    assert.equal(backup.headers['api-key'], 'sk-backup');
    assert.equal(backup.path, '/openai/v1/chat/completions');
    await call(`${gateway.url}/v1/batches`, { input: 'Hello' });
    assert.equal(provider.seen.at(-1)?.path, '/v1/batches');
    await gateway.stop();
  });
});
