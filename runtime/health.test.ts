import assert from 'node:assert/strict';
import { mkdtempSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startHealthServer } from './health.ts';

test('the server reports health, readiness and metrics', async () => {
  let ready = false;
  const server = await startHealthServer({
    address: { type: 'tcp', host: '127.0.0.1', port: 0 },
    readiness: () => ({ ready, details: { policy: 'v1' } }),
    metrics: async (format) => `a_total ${format === 'openmetrics' ? '1.0' : '1'}\n`,
  });
  const get = (path: string, method = 'GET') => fetch(`http://127.0.0.1:${server.port}${path}`, { method });
  assert.equal((await get('/healthz')).status, 200);
  const unready = await get('/readyz');
  assert.equal(unready.status, 503);
  assert.deepEqual(await unready.json(), { ready: false, policy: 'v1' });
  ready = true;
  assert.equal((await get('/readyz')).status, 200);
  assert.equal(await (await get('/metrics?x=1')).text(), 'a_total 1\n');
  const scraped = async (accept: string) =>
    await (await fetch(`http://127.0.0.1:${server.port}/metrics`, { headers: { accept } })).text();
  const openMetrics = 'application/openmetrics-text;version=1.0.0';
  assert.equal(await scraped(`${openMetrics},text/plain;version=0.0.4;q=0.5,*/*;q=0.1`), 'a_total 1.0\n');
  assert.equal(await scraped(`${openMetrics};q=0.2,text/plain;q=0.5`), 'a_total 1\n');
  assert.equal(await scraped(`${openMetrics};q=0`), 'a_total 1\n');
  assert.equal((await get('/else')).status, 404);
  assert.equal((await get('/metrics', 'POST')).status, 405);
  await server.close();
});

test('failing metrics are a 503, and only the owner can use a Unix socket', async () => {
  const path = join(mkdtempSync(join(tmpdir(), 'health-')), 's');
  const server = await startHealthServer({
    address: { type: 'unix', path },
    readiness: () => ({ ready: true, details: {} }),
    metrics: () => Promise.reject(new Error('secret')),
  });
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const status = await new Promise((resolve, reject) => {
    request({ socketPath: path, path: '/metrics' }, (response) => resolve(response.resume().statusCode))
      .on('error', reject)
      .end();
  });
  assert.equal(status, 503);
  await server.close();
});
