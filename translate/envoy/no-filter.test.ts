/**
 * Checks that an Envoy without its filter sends no request to a provider, because the ids of its
 * routes cannot be guessed.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { targetIds } from '../link/route-ids.ts';
import type { EnvoyOptions } from '../plan.ts';
import { readWorld } from '../read/read.ts';
import { translate } from '../translate.ts';
import { bootstrapText, envoyFiles } from './files.ts';

const binary = fileURLToPath(new URL('../../.tools/bin/envoy', import.meta.url));
const routeSecret = 'of the test';

const resources = (port: number, provider: number) => `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ai}
spec: {gatewayClassName: tallygate, listeners: [{name: http, port: ${port}, protocol: HTTP}]}
---
apiVersion: tallygate.dev/v1alpha1
kind: AIBackend
metadata: {name: openai}
spec: {schema: OpenAI, endpoint: {type: Hostname, hostname: {name: 127.0.0.1, port: ${provider}}, tls: {mode: Disabled}}}
---
apiVersion: tallygate.dev/v1alpha1
kind: AIGatewayRoute
metadata: {name: chat}
spec: {parentRefs: [{name: ai}], rules: [{name: small, backendRefs: [{name: openai}]}]}
`;

/**
 * Removes the filter and the steps of a standalone Envoy before it: in a cluster, both may be
 * missing.
 */
function bare(text: string): string {
  return JSON.stringify(JSON.parse(text), (name, value) => {
    if (name === 'early_header_mutation_extensions') {
      return [];
    }
    return name === 'http_filters' ? value.slice(-1) : value;
  });
}

test('a forged route header reaches a provider only with the secret part of its value', {
  timeout: 60_000,
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'tallygate-'));
  const provider = createServer((_, answer) => answer.end('the provider'));
  const portOf = async (server: typeof provider) => {
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return (server.address() as AddressInfo).port;
  };
  const spare = [createServer(), createServer()];
  const [port, adminPort] = [await portOf(spare[0]!), await portOf(spare[1]!)];
  for (const each of spare) {
    each.close();
  }
  const options: EnvoyOptions = {
    directory,
    extproc: { type: 'Unix', path: join(directory, 'extproc.sock') },
    admin: { type: 'Tcp', host: '127.0.0.1', port: adminPort },
    listenAddress: '127.0.0.1',
  };
  const yaml = resources(port, await portOf(provider));
  const { world } = readWorld([{ name: 'test.yaml', text: yaml }], { environment: () => '', file: () => '' });
  for (const { name, text } of envoyFiles(translate(world, { routeSecret, envoy: options }))) {
    writeFileSync(join(directory, name), name === 'listeners.json' ? bare(text) : text);
  }
  writeFileSync(join(directory, 'bootstrap.json'), bootstrapText(options));
  const args = ['-c', join(directory, 'bootstrap.json'), '--use-dynamic-base-id', '--concurrency', '1', '-l', 'error'];
  const envoy = spawn(binary, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    const ask = (id: string) =>
      fetch(`http://127.0.0.1:${port}/v1/chat/completions`, { method: 'POST', headers: { 'x-tallygate-route': id } });
    const name = 'default/chat/small/openai';
    const good = targetIds(routeSecret)(name);
    for (let tries = 0; (await ask(good).catch(() => undefined))?.status !== 200; tries++) {
      assert.ok(tries < 500, 'the id that extproc knows leads to the provider');
      await pause(20);
    }
    for (const guess of [name, `${name}/`, targetIds('')(name), targetIds('another secret')(name), `${good}x`]) {
      assert.equal((await ask(guess)).status, 404, guess);
    }
  } finally {
    envoy.kill('SIGKILL');
    await once(envoy, 'exit');
    provider.closeAllConnections();
    provider.close();
    rmSync(directory, { recursive: true });
  }
});
