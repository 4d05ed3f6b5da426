/**
 * `node tools/image.ts ROOT`: the image's whole file system, made from the checkout and its node_modules: Node, the libraries that it needs, the packages of
 * production, the sources, and compiled code, so that a container starts quickly on a read-only root. No shell and no package manager are in it.
 * The Dockerfile copies it; the tests pack it without Docker.
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

const checkout = resolve(import.meta.dirname, '..');
const rooms = ['cli', 'contract', 'controller', 'crds', 'extproc', 'protos', 'runtime', 'standalone', 'translate'];
const others = ['package.json', 'LICENSE', 'charts/tallygate', 'examples'];
const testsOnly = /\.test\.ts$|\/(testdata|testing|clients)$|\/testing\.ts$|^crds\/examples$/;
/** What programs do not read at run time. Licenses stay. */
const needless = /\.(ts|mts|cts|map|md|markdown)$|\/(test|tests|__tests__)$/;
/** As the Dockerfile has it. */
const USER_ID = 65532;
const NODE_OPTIONS = ['--max-semi-space-size=8'];
const READY_MS = 30_000;

interface Lockfile {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly devOptional?: boolean }>>;
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
    // Packages for other platforms are in the lockfile only.
    if (!existsSync(source)) {
      continue;
    }
    const own = (inner: string) => {
      const within = inner.slice(source.length);
      return !within.startsWith('/node_modules') && !needless.test(within);
    };
    cpSync(source, join(app, path), { recursive: true, filter: own });
  }
}

function copySources(app: string): void {
  for (const path of [...rooms, ...others]) {
    if (!existsSync(join(checkout, path))) {
      throw new Error(`${path} is missing in the checkout`);
    }
    const filter = (source: string) => !testsOnly.test(source.slice(checkout.length + 1));
    cpSync(join(checkout, path), join(app, path), { recursive: true, filter });
  }
}

/**
 * Node keeps compiled code by the path of the file, which also stands in stack traces, and by the user that runs it: so the programs run inside, where every
 * path is the image's own.
 */
async function compile(root: string): Promise<void> {
  const app = join(root, 'app');
  const verbs = readdirSync(join(app, 'cli')).map((name) => basename(name, '.ts'));
  for (const verb of ['controller', 'check', 'sidecar-patch', 'version'].filter((each) => verbs.includes(each))) {
    await ended(inside(root, verb, '--help'));
  }
  const folder = join(root, 'warm');
  mkdirSync(folder);
  // As in a proxy pod whose controller cannot be reached.
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
  // What loads after the start.
  await sleep(2000);
  extproc.kill('SIGTERM');
  await ended(extproc);
  rmSync(folder, { recursive: true });
  const compiled = join(app, 'cache/tallygate/compiled');
  for (const name of readdirSync(compiled)) {
    const renamed = join(compiled, name.replace(/-\d+$/, `-${USER_ID}`));
    renameSync(join(compiled, name), renamed);
    // Node keeps them for their maker alone.
    for (const file of readdirSync(renamed)) {
      chmodSync(join(renamed, file), 0o644);
    }
  }
}

function inside(root: string, verb: string, ...args: readonly string[]): ChildProcess {
  return spawn('chroot', [root, '/usr/local/bin/node', ...NODE_OPTIONS, '/app/cli/main.ts', verb, ...args], {
    env: { PATH: '/usr/sbin:/usr/bin', XDG_CACHE_HOME: '/app/cache', HOME: '/app', TALLYGATE_LOG_LEVEL: 'fatal' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

async function ended(child: ChildProcess): Promise<void> {
  const code = child.exitCode ?? (await new Promise<number | null>((done) => child.once('exit', done)));
  if (code !== 0) {
    throw new Error(`${child.spawnargs.join(' ')} ended with ${code}`);
  }
}

/** What a part was made from: a part that is there already is kept. */
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
