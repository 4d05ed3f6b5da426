import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type ConvertOptions, type ConvertOutput, convertPaths } from './convert.ts';

const program = fileURLToPath(new URL('main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tallygate-convert-'));
after(() => rmSync(folder, { recursive: true }));

function run(file: string, options: ConvertOptions = {}, env: ConvertOutput['env'] = {}) {
  const [out, err]: [string[], string[]] = [[], []];
  const status = convertPaths([file], options, {
    stdout: { write: (text) => out.push(text) },
    stderr: { write: (text) => err.push(text) },
    env,
  });
  return { status, stdout: out.join(''), stderr: err.join('') };
}

function fileOf(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

const proxy = `model_list:
- model_name: chat
  litellm_params: {model: openai/gpt-4o-mini, api_key: os.environ/OPENAI_API_KEY, temperature: 0.2}
`;

test('resources are printed on stdout, and the report on stderr', () => {
  const { status, stdout, stderr } = run(fileOf('proxy.yaml', proxy));
  assert.equal(status, 0, stderr);
  assert.match(stdout, /kind: AIGatewayRoute/);
  assert.match(stderr, /proxy\.yaml:3: model_list\[0\]\.litellm_params\.temperature: Tallygate adds no fields/);
  assert.match(stderr, /converted 3, differs 0, no equal 1, not needed 0\n$/);
});

test('--json reports each field for programs, and --strict fails where the meaning changes', () => {
  const file = fileOf('strict.yaml', proxy);
  const { status, stderr } = run(file, { json: true, strict: true });
  assert.equal(status, 1);
  const { fields } = JSON.parse(stderr);
  assert.deepEqual(fields.at(-1), {
    file,
    line: 3,
    field: 'model_list[0].litellm_params.temperature',
    verdict: 'NoEqual',
    text: 'Tallygate adds no fields to requests',
    fix: 'set it in the clients',
  });
  assert.equal(run(fileOf('exact.yaml', proxy.replace(', temperature: 0.2', '')), { strict: true }).status, 0);
});

test('a folder gets resources and secrets in two files, and no file is replaced', () => {
  const output = join(folder, 'out');
  const file = fileOf('folder.yaml', proxy);
  assert.equal(run(file, { output }).status, 0);
  assert.deepEqual(readdirSync(output), ['resources.yaml', 'secrets.yaml']);
  assert.match(readFileSync(join(output, 'secrets.yaml'), 'utf8'), /apiKey: \$\{OPENAI_API_KEY\}/);
  const again = run(file, { output });
  assert.equal(again.status, 1);
  assert.match(again.stderr, /resources\.yaml: exists already; fix: remove it/);
});

test('a value outside of Secrets that is a variable is read from the environment', () => {
  const text =
    'model_list:\n- {model_name: a, litellm_params: {model: hosted_vllm/a, api_base: os.environ/MODELS_URL}}\n';
  const file = fileOf('variables.yaml', text);
  const [unset, set] = [{}, { MODELS_URL: 'https://models.example.com/v1' }].map((env) => run(file, {}, env));
  assert.match(unset?.stdout ?? '', /name: models-url\.invalid/);
  assert.match(unset?.stderr ?? '', /the host is in the variable MODELS_URL, which is not set here/);
  assert.match(set?.stdout ?? '', /name: models\.example\.com/);
});

test('input that cannot be read is named with its line and a fix', () => {
  const bomb = [
    'a: &a [x, x]',
    ...[...'bcdefghijk'].map((name, index) => `${name}: &${name} [*${'abcdefghij'[index]}, *${'abcdefghij'[index]}]`),
  ];
  const cases: readonly (readonly [string, RegExp])[] = [
    ['model_list: [', /broken-0\.yaml:1: .*; fix: correct the YAML syntax/],
    [bomb.join('\n'), /broken-1\.yaml:1: Excessive alias count.*; fix: write the values out/],
    ['name: value\n', /broken-2\.yaml: is no configuration that the converter knows; fix: name files/],
    [`model_list: ${'['.repeat(100)}${']'.repeat(100)}`, /broken-3\.yaml: is nested more than 64 deep; fix: /],
  ];
  for (const [index, [text, expected]] of cases.entries()) {
    const { status, stdout, stderr } = run(fileOf(`broken-${index}.yaml`, text));
    assert.deepEqual([status, stdout], [1, ''], stderr);
    assert.match(stderr, expected);
  }
  assert.match(run(join(folder, 'absent.yaml')).stderr, /absent\.yaml: does not exist; fix: correct the path/);
});

test('the command reads its options, and wrong usage exits with 2', () => {
  const command = (...args: readonly string[]) =>
    spawnSync(process.execPath, [program, 'convert', ...args], { encoding: 'utf8' });
  const { status, stdout, stderr } = command(fileOf('command.yaml', proxy), '--from', 'litellm', '--json');
  assert.equal(status, 0, stderr);
  assert.match(stdout, /kind: AIGatewayRoute/);
  assert.equal(JSON.parse(stderr).fields.length, 4);
  assert.equal(command('--from', 'kong', folder).status, 2);
});
