import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { test } from 'node:test';
import { issueServerCertificate, renewCa } from '../controller/push/ca.ts';

const main = join(import.meta.dirname, 'main.ts');

test('login trusts a gateway whose certificate the system’s authorities signed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'login-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const ca = await renewCa(undefined, Date.now());
  const { chain, key } = await issueServerCertificate(ca, ['localhost'], Date.now());
  const signIn = { issuer: 'http://sso.example.com', clientId: 'c', audiences: [], scopes: [], token: 'access' };
  const server = createServer({ cert: chain, key }, (_, response) => response.end(JSON.stringify(signIn)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  const bundle = join(folder, 'ca.pem');
  writeFileSync(bundle, ca.certificates);

  const login = async (environment: Readonly<Record<string, string>>) => {
    const child = spawn(process.execPath, [main, 'login', url], { env: { HOME: folder, ...environment } });
    const ended = once(child, 'close');
    const stderr = await textOf(child.stderr);
    await ended;
    return stderr;
  };
  assert.match(await login({}), /^tallygate: cannot reach https:\/\/localhost.*certificate.*; check the URL/);
  // The issuer is refused after its document was read.
  assert.match(await login({ SSL_CERT_FILE: bundle }), /^tallygate: the issuer http:\/\/sso\.example\.com must be/);
});
