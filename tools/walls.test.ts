/**
 * Checks the walls between the rooms that docs/architecture.md describes: which room may import
 * which, where outside modules may be used, and no type name twice. The linter refuses import
 * cycles.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';

type Rooms = Readonly<Record<string, readonly string[]>>;

/** The rooms, lowest first, with the other rooms that each may import. */
const rooms: Rooms = {
  contract: [],
  crds: [],
  runtime: [],
  protos: [],
  jwks: ['contract', 'runtime'],
  notify: ['contract', 'runtime'],
  translate: ['contract', 'crds'],
  extproc: ['contract', 'runtime', 'protos'],
  standalone: ['contract', 'crds', 'translate', 'runtime', 'protos', 'jwks', 'notify', 'extproc'],
  controller: ['contract', 'crds', 'translate', 'runtime', 'protos', 'jwks', 'notify'],
  cli: [
    ...['contract', 'crds', 'translate', 'runtime', 'protos', 'jwks', 'notify', 'extproc', 'standalone', 'controller'],
  ],
  tools: ['contract', 'crds', 'translate', 'runtime', 'protos', 'extproc', 'cli'],
  fixtures: [],
  bench: ['fixtures'],
  e2e: ['fixtures', 'bench', 'tools'],
};

/** The rooms inside extproc, lowest first. A file directly in extproc/ is a room of its own. */
const extprocRooms: Rooms = {
  errors: [],
  exchange: [],
  usage: [],
  interruption: [],
  caller: [],
  record: ['errors', 'usage', 'interruption', 'caller', 'quota'],
  json: ['errors'],
  sse: [],
  compression: [],
  tokens: ['json'],
  providers: ['errors', 'usage', 'record', 'json'],
  conversion: ['errors', 'exchange', 'usage', 'json', 'providers'],
  'quota-conditions': [],
  quota: ['caller', 'quota-conditions', 'usage'],
  'model-names': [],
  access: ['errors', 'exchange', 'caller', 'model-names'],
  policy: ['access', 'model-names', 'quota-conditions'],
  session: [
    ...[
      'quota-conditions',
      'errors',
      'exchange',
      'usage',
      'interruption',
      'caller',
      'access',
      'model-names',
      'record',
      'json',
      'sse',
      'compression',
      'tokens',
      'providers',
      'conversion',
      'quota',
      'policy',
    ],
  ],
  server: ['exchange'],
  telemetry: ['errors', 'usage', 'interruption', 'record', 'quota', 'server'],
  sidecar: ['policy'],
  main: [
    ...['errors', 'exchange', 'usage', 'record', 'tokens', 'providers', 'quota', 'access', 'policy', 'session'],
    ...['telemetry', 'server'],
  ],
};

/** Modules from outside that only the named rooms may import. */
const outside: readonly { readonly module: RegExp; readonly rooms: readonly string[] }[] = [
  { module: /^@kubernetes\//, rooms: ['controller'] },
  { module: /^openid-client$/, rooms: ['cli'] },
  { module: /^ioredis$/, rooms: ['extproc'] },
  { module: /^standardwebhooks$/, rooms: ['notify'] },
  { module: /^@grpc\/grpc-js$/, rooms: ['controller', 'extproc'] },
];

/** Modules that a pure room may not import: the network, files, processes and timers. */
const impure = /^node:(fs|net|http|https|child_process|timers|os|dgram|tls|worker_threads)(\/|$)/;
const pureRooms = ['contract', 'crds', 'translate'];

const root = join(import.meta.dirname, '..');
const importPattern = /(?:import|export)\s[^;'"]*?from\s*'([^']+)'|import\(\s*'([^']+)'\s*\)|^import '([^']+)'/gm;
const typePattern = /^(?:export )?(?:declare )?(?:abstract )?(?:interface|type|class) ([A-Z]\w*)/gm;

interface SourceFile {
  readonly file: string;
  readonly text: string;
  /** Module names, or for files of this repository their path from its root. */
  readonly imports: readonly string[];
}

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.ts'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter(
    (file, index, all) =>
      file.includes('/') && file !== all[index - 1] && !file.startsWith('examples/') && existsSync(join(root, file)),
  );

const sources: readonly SourceFile[] = files.map((file) => {
  const text = readFileSync(join(root, file), 'utf8');
  const imports = [...text.matchAll(importPattern)].map((match) => {
    const name = (match[1] ?? match[2] ?? match[3])!;
    return name.startsWith('.') ? join(dirname(file), name) : name;
  });
  return { file, text, imports };
});

const isTest = (file: string) =>
  file.endsWith('.test.ts') || /(^|\/)(testing|support)(\/|\.ts$)/.test(file) || /^(e2e|bench)\//.test(file);
const production = sources.filter(({ file }) => !isTest(file) && !file.includes('/gen/'));
const isLocal = (name: string) => !name.startsWith('node:') && name.endsWith('.ts');
const roomOf = (file: string) => file.slice(0, file.indexOf('/'));

function extprocRoomOf(file: string): string {
  const [, room, inRoom] = file.split('/');
  return inRoom === undefined ? basename(room!, '.ts') : room!;
}

/** Lists the imports that cross a wall, as `file imports target`. */
function crossings(within: readonly SourceFile[], allowed: Rooms, of: (file: string) => string) {
  return within.flatMap(({ file, imports }) =>
    imports
      .filter((target) => isLocal(target) && of(target) !== of(file))
      .filter((target) => !(allowed[of(file)] ?? []).includes(of(target)))
      .map((target) => `${file} imports ${target}`),
  );
}

test('each room imports only the rooms that the architecture names', () => {
  assert.deepEqual(crossings(production, rooms, roomOf), []);
});

test('black-box tests and benchmarks import no room of the product', () => {
  const blackBox = sources.filter(({ file }) => /^(e2e|bench|fixtures)\//.test(file));
  assert.deepEqual(crossings(blackBox, rooms, roomOf), []);
});

test('the rooms inside extproc import downwards only', () => {
  const inside = production
    .filter(({ file }) => roomOf(file) === 'extproc')
    .map((source) => ({ ...source, imports: source.imports.filter((name) => name.startsWith('extproc/')) }));
  assert.deepEqual(crossings(inside, extprocRooms, extprocRoomOf), []);
});

test('outside modules stay in their rooms, and pure rooms do no input or output', () => {
  const misplaced = production.flatMap(({ file, imports }) =>
    imports
      .filter(
        (name) =>
          outside.some((one) => one.module.test(name) && !one.rooms.includes(roomOf(file))) ||
          (impure.test(name) && pureRooms.includes(roomOf(file))),
      )
      .map((name) => `${file} imports ${name}`),
  );
  assert.deepEqual(misplaced, []);
});

test('no type name is declared in two files', () => {
  const declared = new Map<string, string[]>();
  for (const { file, text } of production) {
    for (const [, name] of text.matchAll(typePattern)) {
      declared.set(name!, [...(declared.get(name!) ?? []), file]);
    }
  }
  const twice = [...declared].filter(([, where]) => where.length > 1);
  assert.deepEqual(Object.fromEntries(twice), {});
});
