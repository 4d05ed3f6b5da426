/**
 * `node tools/image.ts ROOT` builds the file system of the image from the checkout and its
 * node_modules: Node and its libraries, production packages, sources, and compiled code, so that a
 * container starts quickly on a read-only root. The image has no shell and no package manager. The
 * Dockerfile copies the result; the cluster tests pack it without Docker.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { programRooms } from './rooms.ts';

const checkout = resolve(import.meta.dirname, '..');
const others = ['package.json', 'LICENSE', 'charts/tallygate', 'examples'];
const testsOnly = /\.test\.ts$|\/(testdata|testing|clients)$|\/testing\.ts$|^crds\/examples$/;
/** Files that no program reads at run time. Licenses stay. */
const unneeded = /\.(ts|mts|cts|map|md|markdown)$|\/(test|tests|__tests__)$/;
/** The same as in the Dockerfile. */
const USER_ID = 65532;
const NODE_OPTIONS = ['--max-semi-space-size=8'];
const COMPILED = '/app/cache/tallygate/compiled';
const READY_MS = 30_000;

/**
 * Fails in each file, which is no worker here, but only after Node has compiled it and all that it
 * imports.
 */
const LOAD_WORKERS = `
  for (const file of process.argv.slice(1)) {
    await import(file).catch(() => {});
  }
`;

interface LockedPackage {
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly optional?: boolean;
}

interface Lockfile {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

export function productionPackages(lockfile: Lockfile): readonly string[] {
  const wanted = Object.entries(lockfile.packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional)
    .map(([path]) => path)
    .filter((path) => !path.includes('node_modules/@types/'));
  return wanted.toSorted();
}

function copyNode(root: string): void {
  const libraries = execFileSync('ldd', [process.execPath], { encoding: 'utf8' })
    .split('\n')
    .map((line) => /(\/\S+) \(0x/.exec(line)?.[1])
    .filter((path) => path !== undefined);
  for (const path of libraries) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    copyFileSync(path, join(root, path));
  }
  mkdirSync(join(root, 'usr/local/bin'), { recursive: true });
  copyFileSync(process.execPath, join(root, 'usr/local/bin/node'));
  mkdirSync(join(root, 'etc'), { recursive: true });
  writeFileSync(join(root, 'etc/passwd'), `nonroot:x:${USER_ID}:${USER_ID}::/app:/sbin/nologin\n`);
  writeFileSync(join(root, 'etc/group'), `nonroot:x:${USER_ID}:\n`);
}

function copyPackages(app: string): void {
  const lockfile = JSON.parse(readFileSync(join(checkout, 'package-lock.json'), 'utf8')) as Lockfile;
  for (const path of productionPackages(lockfile)) {
    const source = join(checkout, path);
    if (!existsSync(source)) {
      // Packages for other platforms are in the lockfile only.
      if (lockfile.packages[path]?.optional) {
        continue;
      }
      throw new Error(`${path} is missing in the checkout; fix: run make setup`);
    }
    const own = (inner: string) => {
      const within = inner.slice(source.length);
      return !within.startsWith('/node_modules') && !unneeded.test(within);
    };
    cpSync(source, join(app, path), { recursive: true, filter: own });
  }
}

function copySources(app: string): void {
  for (const path of [...programRooms, ...others]) {
    if (!existsSync(join(checkout, path))) {
      throw new Error(`${path} is missing in the checkout`);
    }
    const filter = (source: string) => !testsOnly.test(source.slice(checkout.length + 1));
    cpSync(join(checkout, path), join(app, path), { recursive: true, filter });
  }
}

/**
 * Fills Node's compile cache. Node keys it by the path of the file, which also appears in stack
 * traces, and by the user, so the programs run inside the root, with the paths of the image.
 */
async function compile(root: string): Promise<void> {
  const app = join(root, 'app');
  const verbs = readdirSync(join(app, 'cli')).map((name) => basename(name, '.ts'));
  for (const verb of ['controller', 'check', 'sidecar-patch', 'version'].filter((each) => verbs.includes(each))) {
    await ended(inside(root, verb, '--help'));
  }
  await ended(node(root, '--eval', LOAD_WORKERS, ...workers(app)));
  const folder = join(root, 'warm');
  mkdirSync(folder);
  // Simulates a proxy pod whose controller is unreachable.
  for (const name of ['token', 'ca.crt']) {
    writeFileSync(join(folder, name), 'none');
  }
  const controller = [
    '--controller=127.0.0.1:1',
    '--token=/warm/token',
    '--ca=/warm/ca.crt',
    '--envoy-admin=127.0.0.1:1',
  ];
  const files = ['--socket=/warm/extproc.sock', '--journal=/warm/journal.db', '--metrics=unix:/warm/metrics.sock'];
  const extproc = inside(root, 'extproc', ...controller, ...files);
  const metrics = join(folder, 'metrics.sock');
  const until = performance.now() + READY_MS;
  while (!existsSync(metrics) && extproc.exitCode === null && performance.now() < until) {
    await sleep(50);
  }
  // Waits for modules that load after the start.
  await sleep(2000);
  extproc.kill('SIGTERM');
  await ended(extproc);
  rmSync(folder, { recursive: true });
  const compiled = join(root, COMPILED);
  for (const name of readdirSync(compiled)) {
    const renamed = join(compiled, name.replace(/-\d+$/, `-${USER_ID}`));
    renameSync(join(compiled, name), renamed);
    // Node creates them readable by their owner only.
    for (const file of readdirSync(renamed)) {
      chmodSync(join(renamed, file), 0o644);
    }
  }
}

/** Returns the programs of worker threads. */
function workers(app: string): readonly string[] {
  return programRooms
    .flatMap((room) =>
      readdirSync(join(app, room), { recursive: true, encoding: 'utf8' }).map((name) => join(room, name)),
    )
    .filter((path) => path.endsWith('-worker.ts'))
    .map((path) => `/app/${path}`);
}

function inside(root: string, verb: string, ...args: readonly string[]): ChildProcess {
  return node(root, '/app/cli/main.ts', verb, ...args);
}

function node(root: string, ...args: readonly string[]): ChildProcess {
  return spawn('chroot', [root, '/usr/local/bin/node', ...NODE_OPTIONS, ...args], {
    env: { PATH: '/usr/sbin:/usr/bin', NODE_COMPILE_CACHE: COMPILED, HOME: '/app', TALLYGATE_LOG_LEVEL: 'fatal' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

async function ended(child: ChildProcess): Promise<void> {
  const code = child.exitCode ?? (await new Promise<number | null>((done) => child.once('exit', done)));
  if (code !== 0) {
    throw new Error(`${child.spawnargs.join(' ')} ended with ${code}`);
  }
}

/** Calls `make` unless the part already exists and was made from the same contents. */
function stamp(root: string, part: string, contents: readonly string[], make: () => void): void {
  const digest = contents.reduce((hash, text) => hash.update(text), createHash('sha256')).digest('hex');
  const file = `${root}.${part}`;
  if (existsSync(root) && existsSync(file) && readFileSync(file, 'utf8') === digest) {
    return;
  }
  rmSync(file, { force: true });
  make();
  writeFileSync(file, digest);
}

async function main(target: string): Promise<void> {
  const root = resolve(target);
  const app = join(root, 'app');
  const own = readFileSync(import.meta.filename, 'utf8');
  stamp(root, 'stamp', [process.version, own, readFileSync(join(checkout, 'package-lock.json'), 'utf8')], () => {
    rmSync(root, { recursive: true, force: true });
    copyNode(root);
    copyPackages(app);
  });
  for (const name of readdirSync(app)) {
    if (name !== 'node_modules') {
      rmSync(join(app, name), { recursive: true });
    }
  }
  copySources(app);
  await compile(root);
}

if (import.meta.main) {
  const [target] = process.argv.slice(2);
  if (target === undefined) {
    throw new Error('Usage: node tools/image.ts ROOT');
  }
  await main(target);
}
