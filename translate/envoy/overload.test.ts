import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../fixtures/free-ports.ts';
import type { EnvoyOptions } from '../plan.ts';
import { readWorld } from '../read/read.ts';
import { translate } from '../translate.ts';
import { bootstrapText, envoyFiles } from './files.ts';

const binary = fileURLToPath(new URL('../../.tools/bin/envoy', import.meta.url));
const GATEWAY = (port: number) => `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ai}
spec: {gatewayClassName: tallygate, listeners: [{name: http, port: ${port}, protocol: HTTP}]}
`;

interface Seen {
  /** Active actions, without their prefix. */
  readonly active: readonly string[];
  /** The status line, or the error of the connection. */
  readonly answer: string;
}

/** Starts an Envoy with this heap and waits until its monitors have run. */
async function seenWith(heapBytes: number): Promise<Seen> {
  const directory = mkdtempSync(join(tmpdir(), 'tallygate-'));
  const [port, adminPort] = [await freePort(), await freePort()];
  const options: EnvoyOptions = {
    directory,
    extproc: { type: 'Unix', path: join(directory, 'extproc.sock') },
    admin: { type: 'Tcp', host: '127.0.0.1', port: adminPort },
    listenAddress: '127.0.0.1',
    heapBytes,
  };
  const { world } = readWorld([{ name: 'test.yaml', text: GATEWAY(port) }], {
    environment: () => undefined,
    file: () => undefined,
  });
  for (const { name, text } of envoyFiles(translate(world, { routeSecret: 'of the tests', envoy: options }))) {
    writeFileSync(join(directory, name), text);
  }
  writeFileSync(join(directory, 'bootstrap.json'), bootstrapText(options));
  const args = ['-c', join(directory, 'bootstrap.json'), '--use-dynamic-base-id', '--concurrency', '1', '-l', 'error'];
  const envoy = spawn(binary, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    const stat = async (name: string): Promise<number> => {
      const text = await fetch(`http://127.0.0.1:${adminPort}/stats?filter=${name}`).then((one) => one.text());
      return Number(/: (\d+)/.exec(text)?.[1] ?? Number.NaN);
    };
    const until = async (what: string, holds: () => Promise<boolean>) => {
      for (let tries = 0; !(await holds().catch(() => false)); tries++) {
        assert.ok(tries < 500, what);
        await pause(20);
      }
    };
    await until('the first look at the heap', async () => (await stat('fixed_heap.pressure')) > 0);
    await until('a listener', async () => (await stat('listener_manager.total_listeners_active')) === 1);
    const actions = await fetch(`http://127.0.0.1:${adminPort}/stats?filter=overload_actions.*\\.active`);
    const lines = [...(await actions.text()).matchAll(/overload_actions\.(\w+)\.active: 1/g)];
    const answer = await ask(port);
    return { active: lines.map(([, name]) => name as string), answer };
  } finally {
    envoy.kill('SIGKILL');
    await once(envoy, 'exit');
    rmSync(directory, { recursive: true });
  }
}

function ask(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n'));
    const end = (what: string) => {
      socket.destroy();
      resolve(what);
    };
    socket.once('data', (bytes) => end(bytes.toString().split('\r\n', 1)[0] ?? ''));
    socket.once('error', () => end('refused'));
    socket.setTimeout(1000, () => end('nothing'));
  });
}

describe('the overload manager of Envoy', () => {
  test('sheds nothing while the heap has room', async () => {
    const { active, answer } = await seenWith(256 * 1024 ** 2);
    assert.deepEqual(active, []);
    // Without a processor, the answer is 503. An overloaded Envoy would not answer at all.
    assert.equal(answer, 'HTTP/1.1 503 Service Unavailable');
  });

  test('refuses requests when the heap is used up', async () => {
    const { active, answer } = await seenWith(1024 ** 2);
    assert.deepEqual(active.toSorted(), [
      'disable_http_keepalive',
      'shrink_heap',
      'stop_accepting_connections',
      'stop_accepting_requests',
    ]);
    assert.equal(answer, 'nothing');
  });
});
