/**
 * Checks the walls between the rooms that docs/architecture.md describes: which room may import
 * which, where outside modules may be used, no type name twice, and that the page names every room.
 * The linter refuses import cycles.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { programRooms, type Rooms, rooms } from './rooms.ts';

/** The rooms inside extproc, lowest first. A file directly in extproc/ is a room of its own. */
const extprocRooms: Rooms = {
  errors: [],
  exchange: [],
  'trace-context': ['exchange'],
  usage: [],
  interruption: [],
  caller: [],
  record: ['errors', 'usage', 'interruption', 'caller', 'quota', 'trace-context'],
  json: ['errors'],
  sse: [],
  compression: [],
  tokens: ['json'],
  providers: ['model-api', 'errors', 'usage', 'record', 'json'],
  conversion: ['errors', 'exchange', 'usage', 'json', 'model-api', 'providers'],
  guard: ['errors', 'json', 'providers'],
  content: ['guard', 'providers', 'record', 'sse'],
  'quota-conditions': [],
  quota: ['caller', 'quota-conditions', 'usage'],
  'model-names': [],
  'model-api': [],
  access: ['errors', 'exchange', 'caller', 'model-names'],
  policy: ['access', 'content', 'guard', 'model-api', 'model-names', 'quota-conditions'],
  session: [
    ...[
      'quota-conditions',
      'errors',
      'exchange',
      'usage',
      'interruption',
      'caller',
      'trace-context',
      'access',
      'model-names',
      'record',
      'json',
      'sse',
      'compression',
      'tokens',
      'providers',
      'conversion',
      'guard',
      'content',
      'quota',
      'policy',
    ],
  ],
  server: ['exchange'],
  telemetry: ['content', 'errors', 'usage', 'interruption', 'record', 'quota', 'server', 'trace-context'],
  sidecar: ['policy'],
  main: [
    ...[
      'errors',
      'exchange',
      'usage',
      'record',
      'tokens',
      'providers',
      'quota',
      'access',
      'guard',
      'policy',
      'session',
    ],
    ...['telemetry', 'server', 'trace-context'],
  ],
};

/** Modules from outside that only the named rooms may import. */
const outside: readonly { readonly module: RegExp; readonly rooms: readonly string[] }[] = [
  { module: /^@kubernetes\//, rooms: ['controller'] },
  { module: /^openid-client$/, rooms: ['cli'] },
  { module: /^ioredis$/, rooms: ['extproc'] },
  { module: /^standardwebhooks$/, rooms: ['notify'] },
  { module: /^@smithy\/signature-v4$/, rooms: ['runtime'] },
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

test('each folder with code is a room', () => {
  const folders = [...new Set(files.map(roomOf))];
  assert.deepEqual(
    folders.filter((folder) => !(folder in rooms)).map((folder) => `add ${folder} to tools/rooms.ts`),
    [],
  );
});

test('the page on the architecture names each room and what it may import', () => {
  const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const described = new Map(
    [...page.matchAll(/^\| `(\w+)\/` \|.*\| ([^|]+) \|$/gm)].map(([, room, imports]) => [room!, imports!]),
  );
  const importsOf = (room: string) => {
    const allowed = rooms[room as keyof typeof rooms].toSorted().join(', ');
    return room === 'cli' ? 'all above' : allowed || '–';
  };
  const wrong = Object.keys(rooms).filter(
    (room) => described.get(room)?.split(', ').toSorted().join(', ') !== importsOf(room),
  );
  assert.deepEqual(
    wrong.map((room) => `docs/architecture.md: the row of ${room}/ must say that it may import ${importsOf(room)}`),
    [],
  );
  const inside = [...new Set(files.filter((file) => /^extproc\/.+\//.test(file)).map((file) => file.split('/')[1]!))];
  assert.deepEqual(
    inside.filter((room) => !page.includes(`\`extproc/${room}/\``)).map((room) => `extproc/${room}/ is missing`),
    [],
  );
});

test('a build of the image receives each room of the program', () => {
  const received = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n');
  assert.deepEqual(
    programRooms.filter((room) => !received.includes(`!${room}`)).map((room) => `add !${room} to .dockerignore`),
    [],
  );
});

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
