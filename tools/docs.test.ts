/**
 * Checks README and guides: their YAML passes `tallygate check`, their programs are those of
 * examples/, their links work.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, describe, test } from 'node:test';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { check } from '../cli/check.ts';
import { blocksOf } from './markdown.ts';

const root = resolve(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'tallygate-docs-'));
after(() => rmSync(folder, { recursive: true }));

const written = ['README.md', 'docs/architecture.md', ...listed('docs/guides')];
const project = ['CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md', 'RELEASING.md', ...listed('docs')];
const pages = [...new Set([...written, ...project, ...listed('docs/decisions'), ...listed('docs/reference')])];
const text = (path: string) => readFileSync(join(root, path), 'utf8');
const blocks = written.flatMap((page) => blocksOf(page, text(page)));

function listed(path: string): readonly string[] {
  return readdirSync(join(root, path))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${path}/${name}`);
}

async function assertValid(...paths: readonly string[]): Promise<void> {
  const errors: string[] = [];
  const stderr = { write: (line: string) => errors.push(line) };
  const code = await check([...paths, '--output', 'none'], { stdout: { write: () => {} }, stderr });
  assert.equal(code, 0, errors.join(''));
  assert.equal(errors.join(''), '', 'also no warning');
}

test('tallygate check exits with 1 if a file is invalid', () => {
  const file = join(folder, 'wrong.yaml');
  writeFileSync(file, text('examples/openai.yaml').replace('schema: OpenAI', 'schema: Openai'));
  const run = (path: string) =>
    execFileSync(process.execPath, [join(root, 'cli/main.ts'), 'check', path, '-o', 'none'], { stdio: 'pipe' });
  run(join(root, 'examples/openai.yaml'));
  assert.throws(() => run(file), { status: 1 });
});

describe('examples', () => {
  for (const name of readdirSync(join(root, 'examples')).filter((each) => each.endsWith('.yaml'))) {
    // The quickstart of a provider extends the quickstart.
    const before = name.startsWith('quickstart-') ? [join(root, 'examples/quickstart.yaml')] : [];
    test(name, () => assertValid(...before, join(root, 'examples', name)));
  }
});

interface ExampleManifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: object;
}

const manifests = (yaml: string) => parseAllDocuments(yaml).map((each) => each.toJS() as ExampleManifest);

/**
 * Completes a fragment with the example for OpenAI. `with=base` marks whole objects, `in=KIND`
 * marks fields of the spec of that kind. `with=access` adds the first example of access.md.
 */
function complete(yaml: string, marks: readonly string[]): string {
  const base = manifests(text('examples/openai.yaml'));
  const kind = marks.find((mark) => mark.startsWith('in='))?.slice(3);
  if (kind !== undefined) {
    assert.ok(base.some((each) => each.kind === kind));
    const spec = parse(yaml) as object;
    const extended = base.map((each) => (each.kind === kind ? { ...each, spec: { ...each.spec, ...spec } } : each));
    const access = blocks.find(({ file, language }) => file === 'docs/guides/access.md' && language === 'yaml');
    return joined([...extended, ...(marks.includes('with=access') ? manifests(access!.text) : [])]);
  }
  if (!marks.includes('with=base')) {
    return yaml;
  }
  const own = manifests(yaml);
  const same = (left: ExampleManifest, right: ExampleManifest) =>
    left.kind === right.kind && left.metadata.name === right.metadata.name;
  return joined([...base.filter((each) => !own.some((other) => same(each, other))), ...own]);
}

const joined = (list: readonly ExampleManifest[]) => list.map((each) => stringify(each)).join('---\n');

describe('YAML of the pages', () => {
  const yaml = blocks.filter(({ language, marks }) => language === 'yaml' && roleOf(marks) === undefined);
  assert.ok(yaml.length > 15);
  for (const { file, line, text: shown, marks } of yaml) {
    test(`${file}:${line}`, async () => {
      const path = join(folder, `${file.replaceAll('/', '-')}-${line}.yaml`);
      writeFileSync(path, complete(shown, marks));
      await assertValid(path);
    });
  }
});

/** Of pages whose blocks are applied together by several people (`as=NAME`). */
function roleOf(marks: readonly string[]): string | undefined {
  return marks.find((mark) => mark.startsWith('as='))?.slice(3);
}

test('the halves of the tenancy guide are valid together', async () => {
  const path = join(folder, 'tenancy.yaml');
  // Files have no namespaces with labels.
  const parts = blocks
    .filter(({ marks }) => roleOf(marks) !== undefined)
    .flatMap(({ text: yaml }) => manifests(yaml.replace(/from: Selector\n( +)selector:\n(\1 .*\n)+/, 'from: All\n')));
  const key = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'key', namespace: 'ai-platform', labels: { 'tallygate.dev/api-key': 'true' } },
    stringData: { apiKey: 'a-key-of-the-team' },
  };
  const clusterKinds = ['Namespace', 'ClusterRole', 'RoleBinding'];
  writeFileSync(path, joined([...parts.filter(({ kind }) => !clusterKinds.includes(kind)), key]));
  await assertValid(path);
});

test('the README shows the example for OpenAI without its first comments', () => {
  const example = text('examples/openai.yaml').replace(/^(#.*\n)+/, '');
  assert.ok(blocks.some(({ file, text: shown }) => file === 'README.md' && shown === example));
});

test('pages show the programs of examples/', () => {
  const programs = blocks.filter(({ language }) => language === 'ts');
  assert.equal(programs.length, 2);
  for (const { marks, text: shown } of programs) {
    const path = marks.find((mark) => mark.startsWith('file='))?.slice(5);
    assert.equal(shown, text(path!));
  }
});

test('links point to existing files and headings', () => {
  for (const page of pages) {
    for (const [, target = ''] of text(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) {
        continue;
      }
      const [path = '', anchor] = target.split('#');
      const found = path === '' ? join(root, page) : resolve(root, dirname(page), path);
      assert.ok(existsSync(found), `${page}: ${target}`);
      if (anchor === undefined) {
        continue;
      }
      const headings = [...readFileSync(found, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, heading]) => slug(heading!));
      assert.ok(headings.includes(anchor), `${page}: ${target}`);
    }
  }
});

test('pages name existing files', () => {
  // Installed files come and go.
  const top = new Set(readdirSync(root).filter((name) => name !== '.tools'));
  const paths = ['CONTRIBUTING.md', ...listed('docs'), ...listed('docs/decisions')].flatMap((page) =>
    [...text(page).matchAll(/`([\w.-]+(?:\/[\w.-]+)+\/?)`/g)].map(([, path]) => ({ page, path: path! })),
  );
  const files = paths.filter(({ path }) => top.has(path.split('/')[0]!) || /\.(ts|sh|go)$/.test(path));
  assert.ok(files.length > 50);
  assert.deepEqual(
    files.filter(({ path }) => !path.includes('NAME') && !existsSync(join(root, path))),
    [],
  );
});

function slug(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
}

test('queries use existing metrics and labels', () => {
  const rows = [...text('docs/reference/metrics.md').matchAll(/^\| `(\w+)` \| (\w+) \| \S+ \|([^|]*)\|/gm)];
  const metrics = new Map(rows.map(([, name, type, labels]) => [name, { type, labels }]));
  const lines = blocks
    .filter(({ language }) => language === 'promql')
    .flatMap((block) => block.text.trim().split('\n'));
  assert.ok(lines.length >= 10);
  for (const line of lines) {
    const names = [...line.matchAll(/\b(?:gen_ai|tallygate|nodejs|process)_\w+/g)].map(([name]) => name);
    const found = names.map((name) => metrics.get(name) ?? metrics.get(name.replace(/_(bucket|count|sum)$/, '')));
    const known = found.filter((each) => each !== undefined);
    assert.ok(known.length > 0, line);
    const labels = [...line.matchAll(/by \(([^)]*)\)|\{(\w+)!?=/g)].flatMap(
      ([, list, one]) => one ?? list!.split(', '),
    );
    for (const label of labels.filter((each) => each !== 'le')) {
      assert.ok(
        known.some((each) => each.labels!.includes(`\`${label}\``)),
        `${label} in ${line}`,
      );
    }
    const unknown = names.filter((_, index) => found[index] === undefined);
    assert.deepEqual(
      unknown.filter((name) => !labels.includes(name)),
      [],
      line,
    );
  }
});

test('troubleshooting lists every error code', () => {
  const codes = (page: string) =>
    new Set([...text(page).matchAll(/^\| (?:[\w ]+ \| )?`([a-z_]+)` \|/gm)].map(([, code]) => code));
  const fixed = codes('docs/guides/troubleshooting.md');
  assert.deepEqual(
    [...codes('docs/reference/errors.md')].filter((code) => !fixed.has(code)),
    [],
  );
});
