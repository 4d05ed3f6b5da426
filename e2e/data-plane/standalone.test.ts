/**
 * `tallygate run` on one machine: edits, invalid edits, signals and crashes; no process is left
 * running.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { freePorts } from '../../fixtures/free-ports.ts';
import { type Answered, call, open } from './support/client.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { deliveredTokens } from './support/limits.ts';
import { claimPorts, isTaken } from './support/ports.ts';
import { isAlive, processTree } from './support/processes.ts';
import { type Document, gateway as gatewayDocuments, route, yamlOf } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { backends, MODEL, rules, startWorld, type World } from './support/world.ts';

const repository = path.resolve(import.meta.dirname, '../..');

function chat(url: string, model: string, mock: object = { tokens: 3 }): Promise<Answered> {
  const body = { model, messages: [{ role: 'user', content: 'Hello' }] };
  return call(`${url}/v1/chat/completions`, body, { mock });
}

function openStream(world: World, model: string, mock: { tokens: number; paceMs: number }) {
  const body = { model, stream: true, messages: [{ role: 'user', content: 'Hello' }] };
  return open(`${world.gateway.url}/v1/chat/completions`, body, { mock });
}

/** Returns the route with other model names in its rules. */
function renamed(port: number, names: Readonly<Record<string, readonly string[]>>): readonly Document[] {
  const kept = rules.filter((rule) => names[rule.name] !== undefined);
  const changed = kept.map((rule) => ({ ...rule, models: names[rule.name] ?? [] }));
  const used = new Set(changed.flatMap((rule) => rule.backendRefs.map((ref) => ref['name'])));
  const called = backends(port).filter((one) => used.has((one['metadata'] as { name: string }).name));
  return [...called, route('chat', changed)];
}

const serves = (world: World, model: string) => async () => (await chat(world.gateway.url, model)).status === 200;

describe('edits', () => {
  let world: World;
  before(async () => {
    world = await startWorld();
  });
  after(() => world?.stop());

  it('apply without dropping a stream, even if its rule was removed', async () => {
    const { gateway, provider } = world;
    const kept = await openStream(world, MODEL, { tokens: 300, paceMs: 15 });
    const orphan = await openStream(world, 'cheap', { tokens: 300, paceMs: 15 });
    await waitFor('tokens', () => deliveredTokens(orphan.text()) > 3);
    gateway.edit(renamed(provider.port, { openai: [MODEL, 'new-name'] }));
    await waitFor('the new model', serves(world, 'new-name'));
    assert.equal((await chat(gateway.url, 'cheap')).status, 404);
    assert.equal((await chat(gateway.url, MODEL)).status, 200);
    assert.equal(kept.response.complete, false, 'the edit came in the middle of the streams');
    for (const stream of [kept, orphan]) {
      const answer = await stream.done;
      assert.ok(answer.complete && answer.text.endsWith('data: [DONE]\n\n'));
      assert.equal(deliveredTokens(answer.text), 300);
    }
  });

  it('fail no request while they follow one another', async () => {
    const { gateway, provider } = world;
    let over = false;
    const failed: string[] = [];
    let count = 0;
    const load = async () => {
      while (!over) {
        const answer = await chat(gateway.url, MODEL);
        count++;
        if (answer.status !== 200) {
          failed.push(`${answer.status} ${answer.text}`);
        }
      }
    };
    const workers = [load(), load()];
    for (let i = 0; i < 5; i++) {
      gateway.edit(
        renamed(provider.port, { openai: [MODEL, `model-${i}`], claude: i % 2 ? ['claude-*'] : ['claude-x'] }),
      );
      await waitFor(`model-${i}`, serves(world, `model-${i}`));
    }
    over = true;
    await Promise.all(workers);
    assert.deepEqual(failed, []);
    assert.ok(count > 20);
  });

  it('that are invalid keep the last good state and report why; a valid edit then applies', async () => {
    const { gateway, provider } = world;
    gateway.edit(renamed(provider.port, { openai: [MODEL, 'good'] }));
    await waitFor('the good model', serves(world, 'good'));
    const wrong = renamed(provider.port, { openai: ['wrong'] }).map((one) =>
      one['kind'] === 'AIGatewayRoute' ? { ...one, spec: { ...(one['spec'] as Document), ruels: [] } } : one,
    );
    gateway.edit(wrong);
    const line = await waitFor('the reason', () =>
      gateway
        .log()
        .split('\n')
        .find((one) => one.includes('ruels')),
    );
    assert.match(line, /resources\.yaml:\d+: AIGatewayRoute default\/chat spec\.ruels/);
    assert.equal((await chat(gateway.url, 'good')).status, 200);
    assert.equal((await chat(gateway.url, 'wrong')).status, 404);

    writeFileSync(path.join(gateway.folder, 'resources.yaml'), 'apiVersion: [');
    await waitFor('the reason', () => /resources\.yaml:1: /.test(gateway.log()));
    assert.equal((await chat(gateway.url, 'good')).status, 200);

    gateway.edit(renamed(provider.port, { openai: [MODEL, 'better'] }));
    await waitFor('the better model', serves(world, 'better'));
  });

  it('are judged by tallygate doctor, which finds nothing wrong with the running gateway', async () => {
    const { gateway } = world;
    const args = ['cli/main.ts', 'doctor', path.join(gateway.folder, 'resources.yaml'), '--json'];
    const environment = {
      PATH: process.env['PATH'],
      XDG_STATE_HOME: path.join(gateway.folder, 'state'),
      TALLYGATE_METRICS_ADDRESS: new URL(gateway.metricsUrl).host,
    };
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: repository, env: environment });
    const results = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { readonly check: string; readonly state: string; readonly text: string });
    const state = (check: string) => results.find((one) => one.check === check)?.state;
    for (const check of ['gateway', 'ports', 'quota socket', 'policy', 'journal', 'usage', 'backends']) {
      assert.equal(state(check), 'ok', stdout);
    }
    assert.match(stdout, new RegExp(`the gateway listens at port ${gateway.port}`));
  });

  it('that name a used port do not apply in part, and apply when the port is free', async () => {
    const { gateway, provider } = world;
    const squatter = net.createServer().listen(0, '127.0.0.1');
    await once(squatter, 'listening');
    const { port } = squatter.address() as AddressInfo;
    const [first, ...others] = gatewayDocuments(gateway.port);
    const listeners = [gateway.port, port].map((one) => ({ name: `http-${one}`, port: one, protocol: 'HTTP' }));
    const wide = { ...first, spec: { gatewayClassName: 'tallygate', listeners } };
    const documents = [wide, ...others, ...renamed(provider.port, { openai: [MODEL, 'wide'] })];
    writeFileSync(path.join(gateway.folder, 'resources.yaml'), yamlOf(documents));
    await waitFor('the reason', () => gateway.log().includes(`127.0.0.1:${port} is in use`));
    assert.equal((await chat(gateway.url, MODEL)).status, 200);
    assert.equal((await chat(gateway.url, 'wide')).status, 404);
    squatter.close();
    await waitFor('the second listener', () => isTaken(port), 10_000);
    assert.equal((await chat(`http://127.0.0.1:${port}`, 'wide')).status, 200);
  });
});

describe('shutdown', () => {
  it('by SIGTERM lets open streams end, admits no request, and leaves nothing behind', async () => {
    const world = await startWorld();
    const { gateway } = world;
    const stream = await openStream(world, MODEL, { tokens: 150, paceMs: 15 });
    await waitFor('tokens', () => deliveredTokens(stream.text()) > 3);
    const stopped = gateway.stop();
    await waitFor('not ready', async () => !(await gateway.isReady()));
    await waitFor('closed listener', async () => !(await isTaken(gateway.port)));
    assert.equal(stream.response.complete, false);
    const answer = await stream.done;
    assert.ok(answer.complete && answer.text.endsWith('data: [DONE]\n\n'));
    assert.equal(deliveredTokens(answer.text), 150);
    await stopped;
    assert.equal(gateway.records.length, 1);
    await world.provider.stop();
  });

  it('of Envoy by kill -9 restarts it', async () => {
    const world = await startWorld();
    const { gateway } = world;
    const pid = gateway.envoyPid();
    process.kill(pid, 'SIGKILL');
    await waitFor('end of Envoy', () => !isAlive(pid));
    await waitFor('answers again', () =>
      chat(gateway.url, MODEL).then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
    assert.notEqual(gateway.envoyPid(), pid);
    assert.ok(await gateway.isReady());
    await world.stop();
  });

  it('by kill -9 of tallygate ends all its processes, and the next start succeeds', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'tallygate-e2e-'));
    const world = await startWorld([], {}, { folder });
    const { gateway } = world;
    const tree = processTree(gateway.pid);
    assert.ok(tree.length >= 3);
    process.kill(gateway.pid, 'SIGKILL');
    await waitFor(
      'end of all processes',
      () => tree.every((one) => !isAlive(one.pid)),
      6_000,
      () => JSON.stringify(tree.filter((one) => isAlive(one.pid))),
    );
    const again = await startWorld([], {}, { folder });
    assert.equal((await chat(again.gateway.url, MODEL)).status, 200);
    await again.stop();
    await world.provider.stop();
    rmSync(folder, { recursive: true, force: true });
  });
});

describe('a start fails with a message for', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'tallygate-e2e-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs until the process ends. */
  async function failing(
    yaml: string,
    environment: Readonly<Record<string, string>> = {},
    more: readonly string[] = [],
  ): Promise<{ readonly code: number | null; readonly stderr: string }> {
    const file = path.join(folder, 'failing.yaml');
    writeFileSync(file, yaml);
    const [metricsPort = 0] = await freePorts(1);
    const child = spawn(process.execPath, [path.join(repository, 'cli/main.ts'), 'run', file, ...more], {
      env: {
        PATH: process.env['PATH'],
        XDG_STATE_HOME: path.join(folder, 'state'),
        TALLYGATE_METRICS_ADDRESS: `127.0.0.1:${metricsPort}`,
        ...environment,
      },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 20_000,
    });
    let stderr = '';
    child.stderr.on('data', (piece) => {
      stderr += piece;
    });
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, stderr };
  }

  it('an invalid file, with the line of every problem and exit code 1', async () => {
    const { code, stderr } = await failing(
      'apiVersion: tallygate.dev/v1alpha1\nkind: AIBackend\nmetadata: {name: x}\nspec: {schema: Nobody}\n',
    );
    assert.equal(code, 1);
    assert.match(stderr, /failing\.yaml:4: AIBackend default\/x spec\.schema/);
    assert.doesNotMatch(stderr, /\bat .*\.ts:\d+/, 'no stack');
  });

  it('a port that another program uses', async () => {
    const squatter = net.createServer().listen(0, '127.0.0.1');
    await once(squatter, 'listening');
    const { port } = squatter.address() as AddressInfo;
    const { code, stderr } = await failing(yamlOf(gatewayDocuments(port)));
    squatter.close();
    assert.equal(code, 1);
    assert.match(
      stderr,
      new RegExp(`127\\.0\\.0\\.1:${port} is in use by another program; .*change the listener's port`),
    );
  });

  it('a missing Envoy, or another program under that name', async () => {
    const missing = await failing('', { TALLYGATE_ENVOY: '/nowhere/envoy' });
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /\/nowhere\/envoy .*TALLYGATE_ENVOY/);
    const other = await failing('', {}, ['--envoy', '/bin/true']);
    assert.equal(other.code, 1);
    assert.match(other.stderr, /\/bin\/true is not Envoy/);
  });

  it('a second gateway of the same name', async () => {
    const world = await startWorld([], {}, { folder });
    const { code, stderr } = await failing(yamlOf(gatewayDocuments(0)), {});
    assert.equal(code, 1);
    assert.match(
      stderr,
      new RegExp(`another tallygate named default is running \\(process ${world.gateway.pid}\\).*--name`),
    );
    assert.ok(await world.gateway.isReady());
    await world.stop();
  });
});

describe('the quickstart', () => {
  let gateway: Gateway;
  before(async () => {
    const [port = 0] = await freePorts(1);
    const yaml = readFileSync(path.join(repository, 'examples/quickstart.yaml'), 'utf8');
    gateway = await startGateway([], { port, yaml: yaml.replace('port: 8080', `port: ${port}`) });
  });
  after(() => gateway?.stop());

  it('answers without a key, reports the remaining budget, and ends a stream at the budget', async () => {
    const url = `${gateway.url}/v1/chat/completions`;
    const messages = [{ role: 'user', content: 'Hello, who are you?' }];
    const echo = await call(url, { model: 'tallygate/echo', messages });
    assert.equal(echo.json.choices[0].message.content, 'Hello, who are you?');
    assert.equal(echo.headers['x-ratelimit-limit-tokens'], '500');
    const endless = await call(url, { model: 'tallygate/endless', stream: true, messages }, { timeoutMs: 60_000 });
    assert.match(endless.text, /"finish_reason":"length"/);
    assert.ok(endless.text.endsWith('data: [DONE]\n\n'));
    const charged = await waitFor('records', () => gateway.records.length === 2 && gateway.records);
    const sum = charged.reduce((total, one) => total + (one.inputTokens ?? 0) + (one.outputTokens ?? 0), 0);
    assert.ok(sum > 450 && sum <= 500, `${sum}`);
  });
});

describe('without a file', () => {
  it('runs the quickstart, and the commands that it prints work', async () => {
    const release = await claimPorts(8080);
    const folder = mkdtempSync(path.join(os.tmpdir(), 'tallygate-e2e-'));
    const [metricsPort = 0] = await freePorts(1);
    const child = spawn(process.execPath, [path.join(repository, 'cli/main.ts'), 'run'], {
      env: {
        PATH: process.env['PATH'],
        XDG_STATE_HOME: path.join(folder, 'state'),
        TALLYGATE_METRICS_ADDRESS: `127.0.0.1:${metricsPort}`,
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const ended = once(child, 'exit');
    let stderr = '';
    child.stderr.on('data', (piece) => {
      stderr += piece;
    });
    try {
      await waitFor('its welcome', () => /Tallygate is ready on http:\/\/127\.0\.0\.1:8080/.test(stderr), 20_000);
      const lines = stderr.match(/^ *curl .*$/gm) ?? [];
      const answers = [];
      for (const line of lines) {
        answers.push((await promisify(execFile)('bash', ['-c', line], { timeout: 20_000 })).stdout);
      }
      assert.equal(answers.length, 2, stderr);
      // The response arrives while its bound is held, and there is room for more.
      const left = /^x-ratelimit-remaining-tokens: (\d+)/m.exec(answers[0] ?? '')?.[1];
      assert.ok(Number(left) > 300, answers[0]);
      assert.match(answers[0] ?? '', /"content":"Hello, who are you\?"/);
      assert.match(answers[1] ?? '', /"finish_reason":"length"[\s\S]*data: \[DONE\]/);
    } finally {
      child.kill('SIGTERM');
      await ended;
      release();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
