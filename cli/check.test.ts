import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { check } from './check.ts';

const acceptance = fileURLToPath(new URL('../translate/testdata/acceptance.in.yaml', import.meta.url));
const providers = fileURLToPath(new URL('../translate/testdata/providers.in.yaml', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tallygate-check-'));
after(() => rmSync(folder, { recursive: true }));

async function run(...args: readonly string[]) {
  const [stdout, stderr]: [string[], string[]] = [[], []];
  const code = await check(args, {
    stdout: { write: (text) => stdout.push(text) },
    stderr: { write: (text) => stderr.push(text) },
  });
  return { code, stdout: stdout.join(''), stderr: stderr.join('') };
}

test('the configuration of valid files is printed without keys', async () => {
  process.env['PROVIDER_API_KEY'] = 'sk-never-shown';
  const { code, stdout, stderr } = await run(acceptance, '--output', 'json');
  assert.equal(code, 0, stderr);
  const plan = JSON.parse(stdout);
  assert.equal(plan.policy.virtualHosts[0].rules[0].route, 'default/chat');
  assert.deepEqual(plan.envoy.secrets, ['credential/default/openai']);
  assert.ok(!stdout.includes('sk-never-shown'));
  assert.equal((await run(acceptance)).stdout.split('\n')[0], 'policy:');
  assert.equal((await run(acceptance, '-o', 'none')).stdout, '');
});

test('several providers behind one model name are valid, and keep their client sessions', async () => {
  const { code, stdout, stderr } = await run(providers, '--output', 'json', '--strict');
  assert.deepEqual([code, stderr], [0, '']);
  const [rule] = JSON.parse(stdout).policy.virtualHosts[0].rules;
  assert.equal(rule.affinity, 'Session');
  assert.equal(rule.targets.length, 4);
});

test('each problem is reported with file, line, object, field and fix, and nothing is printed', async () => {
  const file = join(folder, 'bad.yaml');
  const text = readFileSync(acceptance, 'utf8').replace('schema: OpenAI', 'schema: Openai');
  writeFileSync(file, text);
  const line = text.slice(0, text.indexOf('schema: Openai')).split('\n').length;
  const { code, stdout, stderr } = await run(file);
  assert.equal(code, 1);
  assert.equal(stdout, '');
  const expected = `${file}:${line}: AIBackend default/openai spec.schema: "Openai" is not one of OpenAI, Anthropic, HuggingFaceTGI, AWSBedrock, GoogleGemini, GCPVertexAI, AzureOpenAI, Cohere; fix: did you mean OpenAI?`;
  assert.equal(stderr.split('\n')[0], expected);
});

test('API keys from two variables are two keys, from one variable they are one', async () => {
  const file = join(folder, 'keys.yaml');
  const key = (name: string, variable: string) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, labels: { 'tallygate.dev/api-key': 'true' }, annotations: { 'tallygate.dev/tenant': name } },
    stringData: { apiKey: `\${${variable}}` },
  });
  const access = {
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIAccessPolicy',
    metadata: { name: 'internal' },
    spec: {
      targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }],
      authenticate: [
        {
          name: 'keys',
          type: 'APIKey',
          apiKey: { secretSelector: { matchLabels: { 'tallygate.dev/api-key': 'true' } } },
        },
      ],
      allow: [{ name: 'all', principals: [{ authenticated: true }] }],
    },
  };
  const checked = (second: string) => {
    const documents = [access, key('search', 'SEARCH_KEY'), key('ads', second)].map((each) => JSON.stringify(each));
    writeFileSync(file, [readFileSync(acceptance, 'utf8'), ...documents].join('\n---\n'));
    return run(file, '-o', 'none', '--strict');
  };
  assert.deepEqual(await checked('ADS_KEY'), { code: 0, stdout: '', stderr: '' });
  const { code, stderr } = await checked('SEARCH_KEY');
  assert.equal(code, 1, stderr);
});

test('YAML and JSON files of a folder are read in order', async () => {
  mkdirSync(join(folder, 'all/.hidden'), { recursive: true });
  const documents = readFileSync(acceptance, 'utf8').split(/^---$/m);
  for (const [index, document] of documents.entries()) {
    writeFileSync(join(folder, `all/${index}.yml`), document);
  }
  writeFileSync(join(folder, 'all/notes.txt'), 'not: yaml: at all');
  writeFileSync(join(folder, 'all/.hidden/broken.yaml'), 'a: [');
  const { code, stderr } = await run(join(folder, 'all'));
  assert.equal(code, 0, stderr);
});

test('wrong usage and invalid files have different exit codes', async () => {
  assert.equal((await run()).code, 2);
  assert.equal((await run('--output', 'xml', acceptance)).code, 2);
  assert.equal((await run('--no-such-option')).code, 2);
  assert.equal((await run('--help')).code, 0);
  const { code, stderr } = await run(join(folder, 'absent.yaml'));
  assert.equal(code, 1);
  assert.match(stderr, /absent\.yaml: does not exist; fix: /);
});

test('a valid object without effect is a warning, and an error with --strict', async () => {
  const quiet = await run(acceptance, '-o', 'none', '--strict');
  assert.deepEqual([quiet.code, quiet.stderr], [0, '']);
  const documents = readFileSync(acceptance, 'utf8').split(/^---$/m);
  const parts = join(folder, 'backends.yaml');
  writeFileSync(parts, documents.filter((each) => /^kind: (Secret|AIBackend)$/m.test(each)).join('---\n'));
  const other = join(folder, 'other.yaml');
  writeFileSync(other, documents.join('---').replace('gatewayClassName: tallygate', 'gatewayClassName: nginx'));
  for (const [file, said] of [
    [parts, /^warning: .*backends\.yaml: there is no Gateway with a listener; fix: /m],
    [other, /^warning: .*other\.yaml:\d+: Gateway default\/ai spec\.gatewayClassName: the GatewayClass is nginx/m],
  ] as const) {
    const lenient = await run(file, '-o', 'none');
    assert.equal(lenient.code, 0);
    assert.match(lenient.stderr, said);
    assert.equal((await run(file, '-o', 'none', '--strict')).code, 1);
  }
});

test('an object of a later argument replaces one of an earlier argument, with a note', async () => {
  const [base, changed] = [join(folder, 'base.yaml'), join(folder, 'changed.yaml')];
  const text = readFileSync(acceptance, 'utf8');
  writeFileSync(base, text);
  const backend = text.split(/^---$/m).find((document) => document.includes('kind: AIBackend')) ?? '';
  writeFileSync(changed, backend.replace(/port: \d+/, 'port: 4321'));
  const line = text.split('\n').indexOf('kind: AIBackend') + 2;
  const replaced = await run(base, changed);
  assert.equal(replaced.code, 0, replaced.stderr);
  const note = `note: ${base}:${line}: AIBackend default/openai metadata.name: is replaced by the object in ${changed}:`;
  assert.ok(replaced.stderr.startsWith(note), replaced.stderr);
  assert.match(replaced.stdout, /port_value: 4321/);
  const reversed = await run(changed, base);
  assert.equal(reversed.code, 0, reversed.stderr);
  assert.doesNotMatch(reversed.stdout, /port_value: 4321/);
  mkdirSync(join(folder, 'twice'));
  writeFileSync(join(folder, 'twice/a.yaml'), text);
  writeFileSync(join(folder, 'twice/b.yaml'), backend);
  const twice = await run(join(folder, 'twice'));
  assert.equal(twice.code, 1);
  assert.match(
    twice.stderr,
    /twice\/b.yaml:\d+: AIBackend default\/openai metadata.name: an object of this kind and name already exists in .*twice\/a.yaml/,
  );
});
