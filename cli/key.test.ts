import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { apiKeyHash, isGeneratedApiKey } from '../contract/api-key.ts';
import type { KeySecret } from './key-secret.ts';

const main = fileURLToPath(new URL('main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'key-cli-'));
after(() => rmSync(folder, { recursive: true }));

async function tallygate(args: readonly string[], input = '') {
  const environment = { PATH: process.env['PATH'], HOME: folder };
  const child = spawn(process.execPath, [main, 'key', ...args], { env: environment });
  child.stdin.end(input);
  const ended = once(child, 'close');
  const [stdout, stderr] = await Promise.all([textOf(child.stdout), textOf(child.stderr)]);
  const [code] = await ended;
  return { code, stdout, stderr };
}

const acceptance = `# The first comment.
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ai, namespace: default}
spec:   {gatewayClassName: tallygate} # spaces stay
---
# A key in clear.
apiVersion: v1
kind: Secret
metadata:
  name: key-search-batch
  labels: {tallygate.dev/api-key: "true"}
  annotations: {tallygate.dev/tenant: search, tallygate.dev/user: batch, tallygate.dev/groups: "engineering,batch"}
stringData: {apiKey: "tg-search-batch-0000000000000000"}
---
apiVersion: v1
kind: Secret
metadata:
  name: key-ads-expired
  namespace: default
  labels: {tallygate.dev/api-key: "true"}
  annotations: {tallygate.dev/tenant: ads, tallygate.dev/user: old, tallygate.dev/expires: "2020-01-01T00:00:00Z"}
data: {keyHash: ${Buffer.from(`sha256:${'0'.repeat(64)}`).toString('base64')}}
---
apiVersion: v1
kind: Secret
metadata: {name: provider, namespace: default}
stringData: {apiKey: "no key of the gateway"}
`;

describe('with a file', () => {
  const owner = ['--tenant', 'search', '--user', 'ada@example.com'];

  test('create adds a Secret with the hash, and shows the key once on stdout', async () => {
    const file = join(folder, 'create.yaml');
    writeFileSync(file, acceptance);
    chmodSync(file, 0o640);
    const link = join(folder, 'link.yaml');
    symlinkSync(file, link);
    const beforeMs = Date.now();
    const made = await tallygate([
      ...['create', ...owner, '--groups', 'engineering,batch', '--expires', '720h', '--label', 'team=search'],
      ...['--file', link],
    ]);
    assert.deepEqual([made.code, made.stdout.endsWith('\n')], [0, true], made.stderr);
    const key = made.stdout.trim();
    assert.ok(isGeneratedApiKey(key));
    const text = readFileSync(file, 'utf8');
    assert.ok(text.startsWith(`${acceptance}---\n`));
    assert.equal((text + made.stderr).includes(key), false);
    assert.equal(statSync(file).mode & 0o777, 0o640);
    const secret = parseAllDocuments(text).at(-1)!.toJS() as KeySecret;
    const expires = Date.parse(secret.metadata.annotations!['tallygate.dev/expires']!);
    assert.ok(Math.abs(expires - beforeMs - 720 * 3_600_000) < 60_000);
    assert.deepEqual(secret, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        name: 'key-search-ada-example-com',
        namespace: 'default',
        labels: { team: 'search', 'tallygate.dev/api-key': 'true' },
        annotations: {
          'tallygate.dev/tenant': 'search',
          'tallygate.dev/user': 'ada@example.com',
          'tallygate.dev/groups': 'engineering,batch',
          'tallygate.dev/expires': secret.metadata.annotations!['tallygate.dev/expires'],
        },
      },
      stringData: { keyHash: apiKeyHash(key) },
    });
  });

  test('create refuses a name that exists and leaves the file as it is', async () => {
    const file = join(folder, 'twice.yaml');
    assert.equal((await tallygate(['create', ...owner, '--file', file])).code, 0);
    const before = readFileSync(file, 'utf8');
    const again = await tallygate(['create', ...owner, '--file', file]);
    assert.deepEqual([again.code, again.stdout, readFileSync(file, 'utf8')], [1, '', before]);
    assert.match(again.stderr, /already has a Secret default\/key-search-ada-example-com; choose another name/);
    assert.equal((await tallygate(['create', ...owner, '--file', file, '--name', 'second'])).code, 0);
  });

  test('create -o yaml prints the Secret on stdout and the key on stderr', async () => {
    const { stdout, stderr } = await tallygate(['create', ...owner, '-o', 'yaml', '--namespace', 'team']);
    const { metadata, stringData } = parse(stdout) as KeySecret;
    assert.equal(metadata.namespace, 'team');
    assert.equal(stringData?.['keyHash'], apiKeyHash(stderr.trim().split('\n').at(-1)!));
  });

  test('create quotes what YAML 1.1 takes for another type', async () => {
    const { stdout } = await tallygate([
      'create',
      '--tenant',
      'on',
      '--user',
      '12:30',
      '--expires',
      '1h',
      '-o',
      'yaml',
    ]);
    assert.match(stdout, /tenant: "on"\n.*user: "12:30"\n.*expires: "20/);
  });

  test('list shows owners and states, and no other Secret', async () => {
    const file = join(folder, 'list.yaml');
    writeFileSync(file, acceptance);
    const { stdout } = await tallygate(['list', '--file', file]);
    assert.equal(
      stdout,
      `NAME              TENANT  USER   GROUPS             EXPIRES               STATE
key-ads-expired   ads     old    -                  2020-01-01T00:00:00Z  expired
key-search-batch  search  batch  engineering,batch  never                 active
`,
    );
    const lines = (await tallygate(['list', '--file', file, '--json'])).stdout.trim().split('\n');
    assert.deepEqual(JSON.parse(lines[1]!), {
      name: 'key-search-batch',
      tenant: 'search',
      user: 'batch',
      groups: ['engineering', 'batch'],
      state: 'active',
    });
  });

  test('list says why the gateway does not accept a key, and does not read variables', async () => {
    const file = join(folder, 'states.yaml');
    const secret = (name: string, fields: object) =>
      `---\n${stringify({
        kind: 'Secret',
        metadata: { name, labels: { 'tallygate.dev/api-key': 'true' } },
        stringData: fields,
      })}`;
    writeFileSync(
      file,
      secret('a', {}) +
        secret('b', { apiKey: 'short' }) +
        secret('c', { apiKey: `\${A}` }) +
        secret('d', { keyHash: 'x' }),
    );
    const { stdout } = await tallygate(['list', '--file', file, '--json']);
    assert.deepEqual(
      stdout
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { state: string }).state),
      [
        'data has neither apiKey nor keyHash',
        'data.apiKey is not a key of 16 to 512 printable ASCII characters without spaces and line breaks',
        'active',
        'data.keyHash is not sha256: and 64 lower-case hexadecimal digits',
      ],
    );
  });

  test('find names the Secret of a leaked key, generated or not', async () => {
    const file = join(folder, 'find.yaml');
    writeFileSync(file, acceptance);
    const key = (await tallygate(['create', ...owner, '--file', file])).stdout.trim();
    const inText = await tallygate(['find', '--file', file], `commit 1\n+OPENAI_API_KEY="${key}"\n`);
    assert.match(inText.stdout, /\nkey-search-ada-example-com /);
    const alone = await tallygate(['find', '--file', file], 'tg-search-batch-0000000000000000\n');
    assert.match(alone.stdout, /\nkey-search-batch /);
    const unknown = await tallygate(['find', '--file', file], 'tg-search-batch-0000000000000001\n');
    assert.deepEqual([unknown.code, unknown.stdout], [1, '']);
  });

  test('revoke removes the document and keeps every other byte', async () => {
    const file = join(folder, 'revoke.yaml');
    writeFileSync(file, acceptance);
    const revoked = await tallygate(['revoke', 'key-search-batch', '--file', file]);
    assert.equal(revoked.code, 0, revoked.stderr);
    const documents = acceptance.split(/^(?=---)/m);
    assert.equal(readFileSync(file, 'utf8'), documents.toSpliced(1, 1).join(''));
  });

  test('revoke leaves Secrets alone that are no keys, and those of other namespaces', async () => {
    const file = join(folder, 'leave.yaml');
    writeFileSync(file, acceptance);
    for (const args of [['provider'], ['key-ads-expired', '--namespace', 'other']]) {
      const { code, stderr } = await tallygate(['revoke', ...args, '--file', file]);
      assert.equal(code, 1);
      assert.match(stderr, /^tallygate: no API key .*; tallygate key list shows the names\n$/);
    }
    assert.equal(readFileSync(file, 'utf8'), acceptance);
  });

  test('a file with a mistake is named and stays as it is', async () => {
    const file = join(folder, 'mistake.yaml');
    writeFileSync(file, `${acceptance}---\na: [\n`);
    const { code, stderr } = await tallygate(['create', ...owner, '--file', file]);
    assert.equal(code, 1);
    assert.match(stderr, /mistake\.yaml is not valid YAML; correct it first: /);
    assert.match((await tallygate(['list', '--file', join(folder, 'none')])).stderr, /cannot read .*none: ENOENT/);
  });

  test('wrong options exit with 2', async () => {
    for (const wrong of [
      [],
      ['create'],
      ['create', '--tenant', 'a'],
      ['create', ...owner, '--expires', 'soon'],
      ['create', ...owner, '--expires', '0s'],
      ['create', ...owner, '--name', 'A_b'],
      ['create', ...owner, '--label', 'x'],
      ['create', ...owner, '-o', 'json'],
      ['create', ...owner, '-o', 'yaml', '--groups', 'g'.repeat(257)],
      ['create', ...owner, '-o', 'yaml', '--file', 'x'],
      ['create', '--tenant', 'a\nb', '--user', 'u'],
      ['revoke'],
      ['list', 'x'],
    ]) {
      const { code, stdout, stderr } = await tallygate(wrong);
      assert.deepEqual([code, stdout], [2, ''], wrong.join(' '));
      assert.match(stderr, /Usage: /);
    }
  });
});

describe('with a cluster', () => {
  interface Stored extends Omit<KeySecret, 'stringData'> {
    readonly metadata: KeySecret['metadata'] & { readonly uid: string };
  }
  const stored = new Map<string, Stored>();
  const queries: string[] = [];

  /** The part of the API server that keys need, with pages of one item. */
  function answer(method: string, url: URL, body: string): readonly [number, object] {
    const [, namespace, name] = /^\/api\/v1\/namespaces\/([^/]+)\/secrets(?:\/([^/]+))?$/.exec(url.pathname) ?? [];
    const status = (code: number, reason: string) => [code, { reason, message: `secrets: ${reason}` }] as const;
    if (namespace !== 'team') {
      return status(403, 'Forbidden');
    }
    if (method === 'POST') {
      const { stringData = {}, ...secret } = JSON.parse(body) as KeySecret;
      if (stored.has(secret.metadata.name)) {
        return status(409, 'AlreadyExists');
      }
      const data = Object.entries(stringData).map(([field, value]) => [field, Buffer.from(value).toString('base64')]);
      const object = { ...secret, metadata: { ...secret.metadata, uid: 'u' }, data: Object.fromEntries(data) };
      stored.set(secret.metadata.name, object);
      return [201, object];
    }
    if (name === undefined) {
      queries.push(url.searchParams.get('labelSelector') ?? '');
      const at = Number(url.searchParams.get('continue'));
      const rest = { continue: at + 1 < stored.size ? String(at + 1) : '' };
      return [
        200,
        { metadata: rest, items: [...stored.values()].slice(at, at + 1).map(({ kind: _, ...item }) => item) },
      ];
    }
    const object = stored.get(name);
    if (object === undefined) {
      return status(404, 'NotFound');
    }
    if (method === 'DELETE') {
      stored.delete(name);
    }
    return [200, object];
  }

  const server = http.createServer(async (request, response) => {
    const [code, object] = answer(request.method!, new URL(request.url!, 'http://api'), await textOf(request));
    response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(object));
  });
  after(() => server.close());

  async function kubeconfig(): Promise<string> {
    if (!server.listening) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    }
    const file = join(folder, 'kubeconfig');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    writeFileSync(
      file,
      JSON.stringify({
        clusters: [{ name: 'c', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
        users: [{ name: 'u', user: {} }],
        contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', namespace: 'team' } }],
        'current-context': 'x',
      }),
    );
    return file;
  }

  test('create, list, find and revoke use the namespace of the context', async () => {
    const at = ['--kubeconfig', await kubeconfig()];
    const owner = ['--tenant', 'search', '--user', 'batch'];
    const made = await tallygate(['create', ...owner, ...at]);
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stderr, /created Secret team\/key-search-batch in cluster 127\.0\.0\.1:\d+; /);
    assert.equal(JSON.stringify([...stored.values()]).includes(made.stdout.trim()), false);
    await tallygate(['create', '--tenant', 'ads', '--user', 'x', ...at]);
    const again = await tallygate(['create', ...owner, ...at]);
    assert.match(again.stderr, /Secret team\/key-search-batch exists; choose another name by --name/);

    const { stdout } = await tallygate(['list', ...at]);
    assert.match(stdout, /\nkey-ads-x .* active\nkey-search-batch .* active\n$/);
    assert.deepEqual([...new Set(queries)], ['tallygate.dev/api-key=true']);
    assert.match((await tallygate(['find', ...at], made.stdout)).stdout, /\nkey-search-batch /);

    assert.equal((await tallygate(['revoke', 'key-search-batch', ...at])).code, 0);
    assert.deepEqual([...stored.keys()], ['key-ads-x']);
  });

  test('revoke deletes no Secret without the label', async () => {
    const metadata = { name: 'provider', namespace: 'team', uid: 'u' };
    stored.set('provider', { apiVersion: 'v1', kind: 'Secret', metadata });
    const { code } = await tallygate(['revoke', 'provider', '--kubeconfig', await kubeconfig()]);
    assert.deepEqual([code, stored.has('provider')], [1, true]);
  });

  test('a refusal of the API server and a missing kubeconfig are named with their fix', async () => {
    const forbidden = await tallygate(['list', '--namespace', 'other', '--kubeconfig', await kubeconfig()]);
    assert.equal(forbidden.code, 1);
    assert.match(forbidden.stderr, /^tallygate: cluster .*: secrets: Forbidden; ask for a Role .*\n$/);
    const none = await tallygate(['list']);
    assert.match(none.stderr, /^tallygate: no cluster found: .*; correct --kubeconfig or --context, or use --file\n$/);
    const missing = await tallygate(['list', '--kubeconfig', join(folder, 'none')]);
    assert.match(missing.stderr, /^tallygate: .*ENOENT.*; correct --kubeconfig or --context, or use --file\n$/);
    const context = await tallygate(['list', '--kubeconfig', await kubeconfig(), '--context', 'none']);
    assert.match(context.stderr, /^tallygate: no cluster found.*\n$/);
  });
});
