/** Questions of a console on their way from the controller to a sidecar, and the replies. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { ConsoleContent } from '../controller/push/console-questions.ts';
import type { PushServer, PushServerOptions } from '../controller/push/server.ts';
import { compileAccessPolicy } from '../extproc/access/compile.ts';
import { identifyCaller } from '../extproc/access/own-caller.ts';
import { accessPolicy, apiKey, keyAuthenticator, newAccessRig } from '../extproc/access/testing.ts';
import { failure } from '../extproc/errors.ts';
import { openQuotaStore } from '../extproc/quota/open.ts';
import { outcomeOfStream } from '../extproc/telemetry/testing.ts';
import { createLog } from '../runtime/log.ts';
import { ConsoleCalls } from './console-calls.ts';
import { consoleReplies } from './console-replies.ts';
import { RefusedRequests } from './refused-requests.ts';
import { fleet, follow, has, newPod, type Sidecar, serve, until } from './testing/push.ts';

const log = createLog({ level: 'silent' });
const policies = [compileAccessPolicy(accessPolicy([keyAuthenticator], { name: 'infra/gateway' }))];
const services = newAccessRig().services([apiKey('tg-red', { tenant: 'red' }), apiKey('tg-ops', { tenant: 'ops' })]);

function gateway(refusals: readonly string[]) {
  const refused = new RefusedRequests();
  for (const tenant of refusals) {
    const caller = { tenant, user: undefined, groups: [], apiKey: undefined, claim: () => undefined };
    const access = { decision: 'admitted', caller, method: 'jwt', group: undefined } as const;
    const problem = failure('model_not_allowed', 'The caller may not use this model.');
    refused.add({ ...outcomeOfStream, access, usage: undefined, decision: { type: 'none' }, failure: problem });
  }
  const service: ConstructorParameters<typeof ConsoleCalls>[0]['service'] = {
    ...openQuotaStore({}),
    health: { backends: new Set(), resting: () => [] },
    requests: () => [],
    identify: (headers, among) => identifyCaller(policies, headers, services, among),
  };
  return consoleReplies(new ConsoleCalls({ service, refused, plainErrors: false, log }), log);
}

async function connect(
  answerConsole = gateway(['red', 'blue']),
  options: Partial<PushServerOptions> = {},
): Promise<{ readonly server: PushServer; readonly sidecar: Sidecar }> {
  const server = await serve(options);
  server.setLeader(1);
  server.publish(fleet('v1'));
  const sidecar = follow(server.port, newPod(), undefined, undefined, undefined, undefined, answerConsole);
  await until(has(server, 1, 1, 'v1'), 'connected');
  return { server, sidecar };
}

const question = (path: string, key: string, more: ConsoleContent = {}): ConsoleContent => ({
  method: 'GET',
  path,
  authorization: `Bearer ${key}`,
  accessPolicies: ['infra/gateway'],
  operators: 'tenant=ops',
  ...more,
});

const tenants = (body: object | undefined) =>
  (body as { readonly rows?: readonly { readonly tenant?: string }[] }).rows?.map(({ tenant }) => tenant);

test('a sidecar answers with the rows that the credential may see', async () => {
  const { server } = await connect();
  assert.equal(server.sidecars()[0]?.answersConsole, true);
  assert.deepEqual(server.sidecars()[0]?.contentDestinations, ['S3']);
  const own = await server.askConsole('uid', question('refusals', 'tg-red'));
  assert.deepEqual([own?.status, tenants(own?.body)], [200, ['red']]);
  const all = await server.askConsole('uid', question('refusals', 'tg-ops'));
  assert.deepEqual(tenants(all?.body), ['blue', 'red']);
});

test('nobody is let in by a policy that the question does not name, or without a credential', async () => {
  const { server } = await connect();
  const asked: readonly (readonly [number, ConsoleContent])[] = [
    [401, question('refusals', 'tg-other')],
    [401, { method: 'GET', path: 'refusals', accessPolicies: ['infra/gateway'], operators: 'tenant=ops' }],
    [403, question('refusals', 'tg-ops', { accessPolicies: ['app/route'] })],
    [403, question('refusals', 'tg-ops', { accessPolicies: [] })],
    [403, question('streams/1-1/stop', 'tg-red', { method: 'POST' })],
    [404, question('identify', 'tg-ops')],
  ];
  for (const [status, content] of asked) {
    assert.equal((await server.askConsole('uid', content))?.status, status, JSON.stringify(content));
  }
  const stopped = await server.askConsole('uid', question('streams/1-1/stop', 'tg-ops', { method: 'POST' }));
  assert.deepEqual(stopped, { status: 200, body: { outcome: 'unknown' } });
});

test('operators that cannot be read are none', async () => {
  const { server } = await connect();
  const operator = async (operators: string) => {
    const reply = await server.askConsole('uid', question('me', 'tg-ops', { operators }));
    return (reply!.body as { readonly operator?: boolean }).operator;
  };
  assert.equal(await operator('tenant=ops'), true);
  assert.equal(await operator('tenant=ops,tenant'), false);
});

test('a question ends without an answer when its sidecar goes', async () => {
  const { server, sidecar } = await connect(() => new Promise(() => {}));
  const answer = server.askConsole('uid', question('me', 'tg-red'));
  await sidecar.close();
  assert.equal(await answer, undefined);
  assert.equal(await server.askConsole('nobody', question('me', 'tg-red')), undefined);
});

test('an answer that cannot be read counts as none', async () => {
  const { server } = await connect(async () => ({ status: 200, body: Buffer.from('{}') }));
  assert.equal(await server.askConsole('uid', question('me', 'tg-red')), undefined);
  assert.equal(server.sidecars().length, 1);
});

test('an answer that is too large for a message says so', async () => {
  const rows = [randomBytes(200_000).toString('hex')];
  const answer = async (call: string) => (call.endsWith('identify') ? { type: 'caller', groups: [] } : { rows });
  const { server } = await connect(consoleReplies({ answer }, log));
  const reply = await server.askConsole('uid', question('budgets', 'tg-red'));
  assert.deepEqual([reply?.status, server.sidecars().length], [413, 1]);
});
