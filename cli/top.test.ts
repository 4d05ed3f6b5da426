import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openQuotaStore } from '../extproc/quota/open.ts';
import { createLog } from '../runtime/log.ts';
import { userName } from './quota.ts';
import { type QuotaServer, startQuotaServer } from './quota-server.ts';
import { RefusedRequests } from './refused-requests.ts';

const main = fileURLToPath(new URL('main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'top-cli-'));
const socket = join(folder, 'quota.sock');
const log = createLog({ level: 'silent', keys: { process: 'extproc' } });
const opened = openQuotaStore({ path: join(folder, 'journal.db') });
const stops: (readonly [string | null, string | null])[] = [];
const children: ChildProcess[] = [];
let server: QuotaServer;

/** Of util-linux: runs a command in a terminal. */
const SCRIPT = '/usr/bin/script';
const skip = existsSync(SCRIPT) ? false : 'util-linux has no script here';

const LEAVE = '\u001b[?1049l';
const stream = { id: 'a1', stream: true, startedAt: '2026-11-22T12:00:00Z', inputTokens: 1, outputTokens: 2 };
const rows: Readonly<Record<string, readonly object[]>> = {
  streams: [{ ...stream, tenant: 'ac\u001b[2Jme', model: 'gpt', heldTokens: 3 }],
  backends: [{ backend: 'default/openai', rests: [] }],
};

before(async () => {
  const answer = async (call: string, query: URLSearchParams) => {
    const name = call.split('/').at(-1)!;
    if (name === 'stop') {
      stops.push([query.get('id'), query.get('by')]);
      return { outcome: 'stopped' };
    }
    return { rows: rows[name] ?? [], total: rows[name]?.length ?? 0 };
  };
  server = await startQuotaServer(socket, { ...opened, refused: new RefusedRequests(), console: { answer } }, log);
});
after(async () => {
  for (const child of children) {
    child.kill('SIGKILL');
  }
  await server.close();
  opened.store.close();
  await opened.usage?.close(10_000);
  rmSync(folder, { recursive: true });
});

function collected(child: ChildProcess) {
  children.push(child);
  const output = { text: '', stderr: '' };
  child.stdout?.on('data', (text) => (output.text += text));
  child.stderr?.on('data', (text) => (output.stderr += text));
  return output;
}

/** Runs the command in a terminal, and then prints its exit code and the terminal's settings. */
function inTerminal(name: string) {
  const pidFile = join(folder, `${name}.pid`);
  const command = `stty rows 24 cols 80
    sh -c 'echo $$ > ${pidFile}; exec ${process.execPath} ${main} top --interval 500ms --socket ${socket}'
    echo code=$?; stty -a`;
  const child = spawn(SCRIPT, ['-qec', command, '/dev/null'], { env: { ...process.env, TERM: 'xterm-256color' } });
  const output = collected(child);
  let hasEnded = false;
  child.on('close', () => {
    hasEnded = true;
    child.stdout.emit('data', '');
  });
  const until = async (text: string) => {
    while (!output.text.includes(text)) {
      assert.ok(!hasEnded, output.text);
      await once(child.stdout, 'data');
    }
  };
  return { child, output, until, pid: () => Number(readFileSync(pidFile, 'utf8')) };
}

async function plain(...args: readonly string[]) {
  const child = spawn(process.execPath, [main, 'top', ...args]);
  const output = collected(child);
  const [code] = await once(child, 'close');
  return { code, ...output };
}

test('a signal restores the terminal', { skip }, async () => {
  const { child, output, until, pid } = inTerminal('signal');
  await until('default/openai');
  process.kill(pid(), 'SIGTERM');
  await once(child, 'close');
  const [, rest = ''] = output.text.split(LEAVE);
  assert.match(rest, /code=143/);
  assert.match(rest, / icanon .* echo /s);
  assert.ok(output.text.includes(`\u001b[?25h${LEAVE}`));
  assert.ok(output.text.includes('ac\\u001b[2Jme') && !output.text.includes('ac\u001b[2J'));
});

test('keys stop a request after a question, and end', { skip }, async () => {
  const { child, output, until } = inTerminal('keys');
  await until('default/openai');
  child.stdin.write('\t\ts');
  await until('y stops the request of');
  assert.equal(stops.length, 0);
  child.stdin.write('y');
  await until('the request was stopped');
  child.stdin.write('q');
  await once(child, 'close');
  assert.deepEqual(stops, [['a1', userName()]]);
  assert.match(output.text.split(LEAVE)[1] ?? '', /code=0/);
});

test('an output that is no terminal gets tables or JSON once', async () => {
  const [tables, json] = await Promise.all([plain('--socket', socket), plain('--socket', socket, '--json')]);
  assert.equal(tables.stderr, '');
  assert.match(tables.text, /\nRequests in flight\nFOR .*\nac\\u001b\[2Jme +gpt /);
  assert.deepEqual([tables.code, tables.stderr], [0, '']);
  const snapshot = JSON.parse(json.text);
  assert.equal(snapshot.streams.rows[0].tenant, 'ac\u001b[2Jme');
  assert.ok(!json.text.includes('\u001b'));
});

test('wrong use and a gateway that does not run are named', async () => {
  const results = await Promise.all([
    plain('--socket', join(folder, 'none.sock')),
    plain('--interval', '1'),
    plain('--by', 'color'),
  ]);
  assert.deepEqual(
    results.map(({ code, stderr }) => [code, stderr.split('\n')[0]]),
    [
      [1, `tallygate: no gateway runs at ${folder}/none.sock; start it, or select another one with --name or --socket`],
      [2, 'tallygate top: --interval must be a span from 500ms to 60m, such as 2s'],
      [2, 'tallygate top: --by has no "color"'],
    ],
  );
});
