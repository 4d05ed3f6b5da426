/** A secret or a text in an output of a gateway fails the test file, whatever its tests say. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { it } from 'node:test';

const support = path.join(import.meta.dirname, 'support');

/** Runs a test file whose tests pass. */
async function run(script: string): Promise<{ readonly code: unknown; readonly stderr: string }> {
  const imports = `
    import http from 'node:http';
    import { once } from 'node:events';
    import { call } from ${JSON.stringify(path.join(support, 'client.ts'))};
    import { rawCall, head } from ${JSON.stringify(path.join(support, 'raw-client.ts'))};
    import { startProvider } from ${JSON.stringify(path.join(support, 'provider.ts'))};
    import { noteRequests } from ${JSON.stringify(path.join(support, 'leaks/requests.ts'))};
    import { Output } from ${JSON.stringify(path.join(support, 'leaks/outputs.ts'))};
    noteRequests();
    const provider = await startProvider();
    const url = 'http://127.0.0.1:' + provider.port + '/v1/chat/completions';
    const ask = (content) => JSON.stringify({ model: 'm', messages: [{ role: 'user', content }] });
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', `${imports}${script}; await provider.stop();`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  return { code, stderr };
}

const sent: Readonly<Record<string, readonly [string, string]>> = {
  'a key that fetch sends': [
    `await fetch(url, { method: 'POST', headers: { authorization: 'Bearer sk-planted-0123' }, body: '{}' });`,
    'sk-planted-0123',
  ],
  'a text that fetch sends': [
    `await fetch(url, { method: 'POST', body: ask('the planted prompt') });`,
    'the planted prompt',
  ],
  'a key that the client of tests sends': [
    `await call(url, ask('x'), { headers: { 'x-api-key': 'sk-planted-0123' } });`,
    'sk-planted-0123',
  ],
  'a text that the client of tests sends': [`await call(url, ask('the planted prompt'));`, 'the planted prompt'],
  'a key in an address': [`await call(url + '?key=sk-planted-0123', ask('x'));`, 'sk-planted-0123'],
  'a cookie that a server sets': [
    `const server = http.createServer((_, response) => response.setHeader('set-cookie', 's=planted-session').end());
     await once(server.listen(0, '127.0.0.1'), 'listening');
     await (await fetch('http://127.0.0.1:' + server.address().port)).text();
     server.close();`,
    'planted-session',
  ],
  'a key in bytes': [
    `const raw = await rawCall(provider.port);
     await raw.write(head('/v1/chat/completions', ['api-key: sk-planted-0123', 'content-length: 2']) + '{}');
     raw.socket.destroy();`,
    'sk-planted-0123',
  ],
  'an answer of the mock provider': ['', ' the cat sat on a mat and it was'],
};

for (const [what, [script, value]] of Object.entries(sent)) {
  it(`finds ${what} in an output, and does not print it`, async () => {
    const leak = `new Output('the log').add('here: ' + ${JSON.stringify(value)})`;
    const { code, stderr } = await run(`${script}${leak}`);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /^leak: the log has a (credential|content) \(.+\) after "here: "$/m);
    assert.ok(!stderr.includes(value), stderr);
  });
}

it('outputs may hold what belongs there', async () => {
  const leak = `new Output('the bucket', ['content']).add(ask('the planted prompt'))`;
  const { code, stderr } = await run(`await call(url, ask('the planted prompt')); ${leak}`);
  assert.deepEqual([code, stderr], [0, '']);
});
