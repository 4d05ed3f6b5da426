import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { CredentialsFile, type GatewayCredentials } from './credentials.ts';

const folder = mkdtempSync(join(tmpdir(), 'credentials-'));
after(() => rmSync(folder, { recursive: true }));

let count = 0;
const newFile = () => new CredentialsFile(join(folder, String(++count)));

const credentials: GatewayCredentials = {
  signIn: { issuer: 'https://sso', clientId: 'c', audiences: [], scopes: [], token: 'access' },
  token: 't',
  issuedAtMs: 1,
  expiresAtMs: 2,
  refreshToken: 'r',
};
const stored = { version: 1, current: 'https://a', gateways: { 'https://a': credentials } } as const;

test('credentials are written with mode 0600 in a folder of mode 0700, and read again', async () => {
  const file = newFile();
  assert.deepEqual(file.read(), { version: 1, gateways: {} });
  await file.locked(async (_, write) => write(stored));
  assert.deepEqual(file.read(), stored);
  assert.deepEqual(readdirSync(dirname(file.path)), ['credentials.json', 'credentials.lock']);
  for (const name of ['credentials.json', 'credentials.lock']) {
    assert.equal(statSync(join(dirname(file.path), name)).mode & 0o777, 0o600, name);
  }
  assert.equal(statSync(dirname(file.path)).mode & 0o777, 0o700);
});

test('a file or folder that others may read is refused with the fix', async () => {
  const file = newFile();
  await file.locked(async (_, write) => write(stored));
  for (const [path, mode, fix] of [
    [file.path, 0o604, 'chmod 600'],
    [file.path, 0o660, 'chmod 600'],
    [dirname(file.path), 0o750, 'chmod 700'],
  ] as const) {
    const before = statSync(path).mode;
    chmodSync(path, mode);
    const expected = { name: 'OperatorError', message: new RegExp(`mode ${mode.toString(8)}\\); run ${fix} `) };
    assert.throws(() => file.read(), expected);
    await assert.rejects(
      file.locked(async () => {}),
      expected,
    );
    chmodSync(path, before);
  }
});

test('a damaged file is named, and no one writes over it', async () => {
  for (const text of ['', '{', '{"version":2}', 'null', '{"version":1}']) {
    const file = newFile();
    mkdirSync(dirname(file.path), { recursive: true, mode: 0o700 });
    writeFileSync(file.path, text, { mode: 0o600 });
    await assert.rejects(
      file.locked(async (_, write) => write(stored)),
      /credentials\.json is damaged or of another version; remove it/,
    );
  }
});

test('two processes change the file one after the other, and a killed one leaves no lock', async () => {
  const file = newFile();
  const script = `
    import { CredentialsFile } from ${JSON.stringify(join(import.meta.dirname, 'credentials.ts'))};
    await new CredentialsFile(${JSON.stringify(dirname(dirname(file.path)))}).locked(async () => {
      console.log('locked');
      await new Promise((resolve) => setTimeout(resolve, 1e6));
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const impatient = new CredentialsFile(dirname(dirname(file.path)), 50);
  await assert.rejects(
    impatient.locked(async () => {}),
    /cannot lock .* within 0\.05 s: database is locked; end other tallygate processes/,
  );
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
  await file.locked(async (_, write) => write(stored));
  assert.deepEqual(file.read(), stored);
});
