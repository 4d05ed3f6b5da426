/**
 * Starts `tallygate run` as users do: with an old Node, npx and make. Whichever process is stopped,
 * none is left running.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { freePorts } from '../../fixtures/free-ports.ts';
import { isAlive, type ProcessInfo, processTree } from './support/processes.ts';
import { gateway, yamlOf } from './support/resources.ts';
import { waitFor, within } from './support/wait.ts';

const repository = path.resolve(import.meta.dirname, '../..');
const START_MS = 30_000;
/** Includes the watcher of the child processes, which sleeps 3 s before its last check. */
const END_MS = 8_000;

let folder = '';
let file = '';
let preload = '';
before(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'tallygate-e2e-'));
  file = path.join(folder, 'gateway.yaml');
  const [port = 0] = await freePorts(1);
  writeFileSync(file, yamlOf(gateway(port)));
  // The launcher treats any Node as old that reports an old version.
  preload = path.join(folder, 'old.cjs');
  writeFileSync(
    preload,
    `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } });`,
  );
});
after(() => rmSync(folder, { recursive: true, force: true }));

const launcher = (): readonly string[] => ['--require', preload, path.join(repository, 'cli/bin.cjs'), 'run'];

interface Started {
  readonly child: ChildProcess;
  readonly metricsUrl: string;
  readonly output: () => string;
}

async function start(command: string, args: readonly string[]): Promise<Started> {
  const [metricsPort = 0] = await freePorts(1);
  const child = spawn(command, args, {
    cwd: repository,
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      XDG_STATE_HOME: path.join(folder, 'state'),
      TALLYGATE_METRICS_ADDRESS: `127.0.0.1:${metricsPort}`,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (piece) => {
      output += piece;
    });
  }
  return { child, metricsUrl: `http://127.0.0.1:${metricsPort}`, output: () => output };
}

const ended = (child: ChildProcess) =>
  new Promise<number | null>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      resolve(child.exitCode);
    } else {
      child.once('exit', (code) => resolve(code));
    }
  });

/** Returns the whole process tree, once Envoy and extproc serve. */
async function serving({ child, metricsUrl, output }: Started): Promise<readonly ProcessInfo[]> {
  await waitFor(
    'ready gateway',
    () =>
      fetch(`${metricsUrl}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      ),
    START_MS,
    output,
  );
  const tree = processTree(child.pid ?? 0);
  assert.ok(tree.some(({ command }) => /(^|\/)envoy /.test(command)));
  assert.ok(tree.some(({ command }) => command.includes(' extproc ')));
  return tree;
}

async function allEnd(tree: readonly ProcessInfo[], started: Started): Promise<void> {
  const alive = () => tree.filter(({ pid }) => isAlive(pid));
  try {
    await waitFor(
      'end of all processes',
      () => alive().length === 0,
      END_MS,
      () => JSON.stringify(alive()) + started.output(),
    );
  } finally {
    for (const { pid } of alive()) {
      process.kill(pid, 'SIGKILL');
    }
  }
}

describe('with a Node that cannot read TypeScript,', () => {
  it('an error at the start ends the launcher', async () => {
    const wrong = path.join(folder, 'wrong.yaml');
    writeFileSync(wrong, 'kind: [\n');
    const started = await start(process.execPath, [...launcher(), wrong]);
    const tree = processTree(started.child.pid ?? 0);
    try {
      assert.equal(await within(START_MS, 'its end', ended(started.child)), 1, started.output());
      assert.match(started.output(), /wrong\.yaml:\d+: /);
    } finally {
      await allEnd(tree, started);
    }
  });

  it('SIGTERM ends all processes in order', async () => {
    const started = await start(process.execPath, [...launcher(), file]);
    const tree = await serving(started);
    started.child.kill('SIGTERM');
    await allEnd(tree, started);
    // The process has ended, but its exit event may still be on its way.
    assert.equal(await within(END_MS, 'its exit code', ended(started.child)), 0, started.output());
  });

  it('kill -9 of the launcher ends all processes', async () => {
    const started = await start(process.execPath, [...launcher(), file]);
    const tree = await serving(started);
    started.child.kill('SIGKILL');
    await allEnd(tree, started);
  });
});

describe('a gateway started by another program', () => {
  for (const [name, command, args] of [
    ['npx', 'npx', () => ['tallygate', 'run', file]],
    ['npx with an old Node', 'npx', () => ['-c', `"${process.execPath}" ${launcher().join(' ')} ${file}`]],
    ['make', 'make', () => ['--silent', 'run', `FILES=${file}`]],
  ] as const) {
    it(`ends all its processes after SIGTERM to ${name}`, async () => {
      const started = await start(command, args());
      const tree = await serving(started);
      started.child.kill('SIGTERM');
      await allEnd(tree, started);
    });
  }
});
