/** The server against hand-made streams of grpc-js: what each peer may do, and what it gets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, describe, test } from 'node:test';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, credentials, Metadata, type StatusObject, status } from '@grpc/grpc-js';
import type { GatewayPolicy } from '../../contract/policy.ts';
import { policyText } from '../../contract/policy-text.ts';
import {
  type ControllerMessage,
  ControllerMessageSchema,
  type Policy,
  type SidecarMessage,
  SidecarMessageSchema,
} from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';
import { createLog } from '../../runtime/log.ts';
import { issueServerCertificate, renewCa } from './ca.ts';
import { MAX_POLICY_BYTES, MAX_STRANGERS, MAX_STRANGERS_OF_ADDRESS, SILENT_LIFE_MS } from './limits.ts';
import { type PushServer, startPushServer } from './server.ts';

const log = createLog({ level: 'silent' });
const caText = await renewCa(undefined, Date.now());
const names = ['tallygate-controller'];
const first = await issueServerCertificate(caText, names, Date.now());
const closing: (() => unknown)[] = [];
after(() => Promise.all(closing.map((close) => close())));

/** A token names its pod; `a.fleet.POD` is good for the fleet. */
const review = async (token: string) => {
  const [, fleet, podName] = token.split('.');
  if (fleet === 'broken') {
    throw new Error('the API server is away');
  }
  return fleet === 'bad' ? undefined : { podName: podName!, podUid: `uid-${podName}`, namespace: fleet! };
};

async function start(options: Partial<Parameters<typeof startPushServer>[0]> = {}): Promise<PushServer> {
  const server = await startPushServer({
    address: { host: '127.0.0.1', port: 0 },
    credentials: () => first,
    review,
    mayHaveSecrets: () => true,
    mayShareStore: () => true,
    fleetOf: ({ namespace }) => (namespace === 'nobody' ? undefined : namespace),
    log,
    ...options,
  });
  closing.push(() => server.close());
  return server;
}

type Call = ClientDuplexStream<SidecarMessage, ControllerMessage>;
type Said = NonNullable<MessageInitShape<typeof SidecarMessageSchema>['message']>;

function dial(server: PushServer, ca = caText.certificates): Client {
  const client = new Client(`127.0.0.1:${server.port}`, credentials.createSsl(Buffer.from(ca)), {
    'grpc.ssl_target_name_override': names[0]!,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_receive_message_length': -1,
  });
  closing.push(() => client.close());
  return client;
}

function open(client: Client, token: string | undefined): Call {
  const metadata = new Metadata();
  if (token !== undefined) {
    metadata.set('authorization', `Bearer ${token}`);
  }
  const call = client.makeBidiStreamRequest<SidecarMessage, ControllerMessage>(
    '/tallygate.policy.v1.PolicyService/Follow',
    (message) => Buffer.from(toBinary(SidecarMessageSchema, message)),
    (bytes) => fromBinary(ControllerMessageSchema, bytes),
    metadata,
  );
  call.on('error', () => {});
  return call;
}

const say = (call: Call, message: Said) => call.write(create(SidecarMessageSchema, { message }));
const hello = (call: Call, version?: { epoch: bigint; counter: bigint; version: string }) =>
  say(call, {
    case: 'hello',
    value: { programVersion: '0.0.1', formatVersions: [1], ...(version && { inForce: version }) },
  });

async function nextPolicy(call: Call): Promise<Policy> {
  const [{ message }] = (await once(call, 'data')) as [ControllerMessage];
  assert.equal(message.case, 'policy');
  return message.value as Policy;
}

function ending(call: Call): Promise<StatusObject> {
  call.resume();
  return new Promise((resolve) => call.once('status', resolve));
}

function policy(version: string, padding = ''): GatewayPolicy {
  const one = {
    formatVersion: 6 as const,
    version,
    virtualHosts: [],
    backends: [],
    quotas: [],
    accessPolicies: [],
    apiKeyShards: [],
  };
  return padding === ''
    ? one
    : { ...one, virtualHosts: [{ routeNames: [padding], rules: [], passthrough: [], access: [] }] };
}

const one = (version: string, padding?: string) => new Map([['fleet', policy(version, padding)]]);
const until = async (holds: () => boolean) => {
  for (let i = 0; i < 300 && !holds(); i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.ok(holds());
};

describe('a push server', () => {
  test('refuses all sidecars until its replica leads', async () => {
    const server = await start();
    const refused = await ending(open(dial(server), 'a.fleet.pod'));
    assert.equal(refused.code, status.UNAVAILABLE);
    assert.match(refused.details, /another replica/);
    server.setLeader(7);
    server.publish(one('v1'));
    const call = open(dial(server), 'a.fleet.pod');
    hello(call);
    const { version, content } = await nextPolicy(call);
    assert.equal(`${version?.epoch}/${version?.counter}/${version?.version}`, '7/1/v1');
    assert.deepEqual(Buffer.from(content!), policyText(policy('v1')));
    server.setLeader(undefined);
    assert.equal((await ending(call)).code, status.UNAVAILABLE);
    assert.deepEqual(server.sidecars(), []);
  });

  const refusals = [
    ['no token', undefined, status.UNAUTHENTICATED],
    ['a malformed token', 'secret', status.UNAUTHENTICATED],
    ['a bad token', 'a.bad.pod', status.UNAUTHENTICATED],
    ['a token that cannot be reviewed now', 'a.broken.pod', status.UNAVAILABLE],
    ['a pod without a Gateway', 'a.nobody.pod', status.FAILED_PRECONDITION],
  ] as const;
  for (const [what, token, code] of refusals) {
    test(`refuses ${what}`, async () => {
      const server = await start();
      server.setLeader(1);
      const call = open(dial(server), token);
      hello(call);
      assert.equal((await ending(call)).code, code);
      assert.deepEqual(server.sidecars(), []);
    });
  }

  test('a client that trusts another CA sends no token', async () => {
    let reviewed = 0;
    const server = await start({ review: async () => void reviewed++ });
    server.setLeader(1);
    const other = await renewCa(undefined, Date.now());
    assert.equal((await ending(open(dial(server, other.certificates), 'a.fleet.pod'))).code, status.UNAVAILABLE);
    assert.equal(reviewed, 0);
  });

  test('ends a stream whose first message is not Hello', async () => {
    const server = await start();
    server.setLeader(1);
    const call = open(dial(server), 'a.fleet.pod');
    say(call, { case: 'acknowledge', value: {} });
    assert.equal((await ending(call)).code, status.FAILED_PRECONDITION);
  });

  test('serves others despite many streams and connections without a token', async () => {
    let reviewed = 0;
    const server = await start({
      review(token) {
        reviewed++;
        return review(token);
      },
    });
    server.setLeader(1);
    server.publish(one('v1'));
    const good = open(dial(server), 'a.fleet.pod');
    hello(good);
    await nextPolicy(good);
    for (let round = 0; round < 5; round++) {
      const hostile = Array.from({ length: 40 }, () => open(dial(server), 'a.bad.pod'));
      const codes = await Promise.all(hostile.map(async (call) => (await ending(call)).code));
      assert.ok(codes.every((code) => code === status.UNAUTHENTICATED || code === status.UNAVAILABLE));
      assert.ok(codes.filter((code) => code === status.UNAUTHENTICATED).length <= MAX_STRANGERS_OF_ADDRESS);
    }
    assert.ok(reviewed <= 37, `${reviewed} reviews`);
    server.publish(one('v2'));
    say(good, { case: 'acknowledge', value: { version: { epoch: 1n, counter: 1n, version: 'v1' } } });
    assert.equal((await nextPolicy(good)).version?.version, 'v2');
  });
});

describe('silent connections', () => {
  /** Each address of 127.0.0.0/8 is this machine's. */
  const silent = async (server: PushServer, localAddress: string) => {
    const socket = connect({ host: '127.0.0.1', port: server.port, localAddress });
    socket.on('error', () => {});
    closing.push(() => socket.destroy());
    await once(socket, 'connect');
    return socket;
  };

  test('do not block a sidecar, from many addresses or from its own', async () => {
    const server = await start();
    server.setLeader(1);
    server.publish(one('v1'));
    const sockets: Socket[] = [];
    for (let address = 1; address <= MAX_STRANGERS / MAX_STRANGERS_OF_ADDRESS; address++) {
      for (let count = 0; count < MAX_STRANGERS_OF_ADDRESS; count++) {
        sockets.push(await silent(server, `127.0.1.${address}`));
      }
    }
    const held = sockets.filter(({ destroyed, readableEnded }) => !destroyed && !readableEnded).length;
    assert.ok(held >= MAX_STRANGERS - 1, `${held} are held`);
    const call = open(dial(server), 'a.fleet.pod');
    hello(call);
    assert.equal((await nextPolicy(call)).version?.version, 'v1');
    for (let count = 0; count < MAX_STRANGERS_OF_ADDRESS; count++) {
      await silent(server, '127.0.0.1');
    }
    const beside = open(dial(server), 'a.fleet.other');
    hello(beside);
    assert.equal((await nextPolicy(beside)).version?.version, 'v1');
  });

  test('are closed after a deadline', async () => {
    const server = await start();
    const started = performance.now();
    const socket = await silent(server, '127.0.0.1');
    await once(socket.resume(), 'close');
    assert.ok(performance.now() - started < SILENT_LIFE_MS + 1000);
  });

  test('do not evict connections whose token is being reviewed', async () => {
    let answer = () => {};
    const asked = new Promise<void>((resolve) => {
      answer = resolve;
    });
    let reviewed = () => {};
    const reviewing = new Promise<void>((resolve) => {
      reviewed = resolve;
    });
    const server = await start({
      async review(token) {
        reviewed();
        await asked;
        return review(token);
      },
    });
    server.setLeader(1);
    server.publish(one('v1'));
    const call = open(dial(server), 'a.fleet.pod');
    hello(call);
    const policied = nextPolicy(call);
    await reviewing;
    for (let count = 0; count < 3 * MAX_STRANGERS_OF_ADDRESS; count++) {
      await silent(server, '127.0.0.1');
    }
    answer();
    assert.equal((await policied).version?.version, 'v1');
  });
});

describe('connected sidecars', () => {
  test('report the policy in force, refusals and config checks', async () => {
    const server = await start();
    let changes = 0;
    server.onChange(() => changes++);
    server.setLeader(3);
    server.publish(one('v1'));
    const call = open(dial(server), 'a.fleet.pod');
    hello(call);
    const { version } = await nextPolicy(call);
    assert.equal(server.sidecars()[0]?.acknowledged, undefined);
    say(call, { case: 'acknowledge', value: { version: version! } });
    await until(() => server.sidecars()[0]?.acknowledged !== undefined);
    assert.deepEqual(server.sidecars()[0]?.acknowledged, { epoch: 3, counter: 1, version: 'v1' });
    assert.deepEqual(server.published('fleet'), { epoch: 3, counter: 1, version: 'v1' });
    assert.deepEqual(server.sidecars()[0]?.pod, { podName: 'pod', podUid: 'uid-pod', namespace: 'fleet' });
    server.publish(one('v2'));
    const next = await nextPolicy(call);
    say(call, { case: 'refuse', value: { version: next.version!, reason: 'cannot' } });
    const findings = { total: 2, names: ['a', 'b'] };
    say(call, { case: 'configCheck', value: { version: version!, expected: 9, missing: findings } });
    await until(() => server.sidecars()[0]?.configCheck !== undefined);
    const [sidecar] = server.sidecars();
    assert.deepEqual(sidecar?.refused, { version: { epoch: 3, counter: 2, version: 'v2' }, reason: 'cannot' });
    assert.equal(sidecar?.acknowledged?.version, 'v1');
    assert.equal(sidecar?.configCheck?.missing?.total, 2);
    assert.equal(changes, 5);
  });

  test('receive the same content once, and afterwards only its new version', async () => {
    const server = await start();
    server.setLeader(1);
    server.publish(one('v1'));
    server.publish(one('v1'));
    assert.equal(server.published('fleet')?.counter, 1);
    const call = open(dial(server), 'a.fleet.pod');
    hello(call, { epoch: 0n, counter: 4n, version: 'v1' });
    const { version, content } = await nextPolicy(call);
    assert.equal(version?.epoch, 1n);
    assert.equal(content, undefined);
  });

  test('keep their policy while a newer one is too large to be sent', async () => {
    const server = await start();
    server.setLeader(1);
    server.publish(one('v1'));
    server.publish(one('v2', 'x'.repeat(MAX_POLICY_BYTES)));
    assert.equal(server.published('fleet')?.version, 'v1');
    assert.ok(server.excessBytes('fleet') > 0 && server.excessBytes('fleet') < 2_000);
    server.publish(one('v1'));
    assert.equal(server.excessBytes('fleet'), 0);
  });

  test('skip intermediate policies if they are slow', async () => {
    const server = await start();
    server.setLeader(1);
    server.publish(one('v0', 'x'.repeat(5_000_000)));
    const call = open(dial(server), 'a.fleet.pod');
    hello(call);
    const { version } = await nextPolicy(call);
    for (let i = 1; i <= 50; i++) {
      server.publish(one(`v${i}`, 'x'.repeat(100_000)));
    }
    say(call, { case: 'acknowledge', value: { version: version! } });
    assert.equal((await nextPolicy(call)).version?.version, 'v50');
  });

  test('replace their old stream when they reconnect', async () => {
    const server = await start();
    server.setLeader(1);
    const before = open(dial(server), 'a.fleet.pod');
    hello(before, { epoch: 0n, counter: 0n, version: 'v0' });
    await until(() => server.sidecars().length === 1);
    const again = open(dial(server), 'a.fleet.pod');
    hello(again, { epoch: 0n, counter: 1n, version: 'v1' });
    assert.equal((await ending(before)).code, status.ABORTED);
    assert.equal(server.sidecars().length, 1);
    assert.equal(server.sidecars()[0]?.acknowledged?.version, 'v1');
    again.cancel();
    assert.equal(server.sidecars().length, 1, 'not forgotten at once');
    await new Promise((resolve) => setTimeout(resolve, 3500));
    assert.equal(server.sidecars().length, 0);
  });

  test('receive only the policy of their fleet', async () => {
    const server = await start();
    server.setLeader(1);
    server.publish(new Map([...one('v1'), ['other', policy('w1')]]));
    const call = open(dial(server), 'a.other.pod');
    hello(call);
    assert.equal((await nextPolicy(call)).version?.version, 'w1');
  });

  test('of a version without shared stores receive only policies', async () => {
    const server = await start();
    server.setLeader(1);
    server.shareStore({ type: 'Redis', mode: 'Standalone', addresses: ['store:6379'], keyPrefix: 'a' });
    server.publish(one('v1'));
    const call = open(dial(server), 'a.fleet.pod');
    hello(call);
    await nextPolicy(call);
  });

  test('may send unknown fields', async () => {
    const server = await start();
    server.setLeader(1);
    const client = dial(server);
    const metadata = new Metadata();
    metadata.set('authorization', 'Bearer a.fleet.pod');
    const raw = client.makeBidiStreamRequest<Buffer, Buffer>(
      '/tallygate.policy.v1.PolicyService/Follow',
      (bytes) => bytes,
      (bytes) => bytes,
      metadata,
    );
    raw.on('error', () => {});
    const message = create(SidecarMessageSchema, { message: { case: 'hello', value: { programVersion: '9' } } });
    // Field 99, a string; then an unknown message kind, field 50.
    raw.write(Buffer.concat([toBinary(SidecarMessageSchema, message), Buffer.from([0x9a, 0x06, 1, 0x41])]));
    raw.write(Buffer.from([0x92, 0x03, 1, 0x41]));
    await until(() => server.sidecars()[0]?.programVersion === '9');
    server.publish(one('v1'));
    await once(raw, 'data');
  });
});

test('a renewed certificate is used for new connections, and open streams continue', async () => {
  let current = first;
  const server = await start({ credentials: () => current });
  server.setLeader(1);
  const before = open(dial(server), 'a.fleet.one');
  hello(before);
  await until(() => server.sidecars().length === 1);
  const next = await renewCa(undefined, Date.now());
  current = await issueServerCertificate(next, names, Date.now());
  const call = open(dial(server, next.certificates), 'a.fleet.two');
  hello(call);
  await until(() => server.sidecars().length === 2);
  server.publish(one('v1'));
  await Promise.all([nextPolicy(before), nextPolicy(call)]);
});
