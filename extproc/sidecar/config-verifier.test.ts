/**
 * The verifier beside a real Envoy that takes its listeners, routes, clusters and endpoints from
 * files, as it takes them from Envoy Gateway in a cluster.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { after, before, test } from 'node:test';
import { ENVOY } from '../server/testing/envoy.ts';
import { readAdmin } from './admin.ts';
import { type ConfigCheckReport, type ConfigVerifier, startConfigVerifier } from './config-verifier.ts';

const folder = mkdtempSync(join(tmpdir(), 'configCheck-'));
const SOCKET = '/run/tallygate/extproc.sock';
const CLUSTER = 'envoyextensionpolicy/team/tallygate/extproc/0';
const FILTER = `envoy.filters.http.ext_proc/${CLUSTER}`;
const version = { epoch: 1, counter: 1, version: 'v1' };
const log = { debug() {}, info() {}, warn() {}, error() {} };

let envoy: ChildProcess;
let admin: { readonly host: string; readonly port: number };
let verifier: ConfigVerifier;
const configChecks: ConfigCheckReport[] = [];

function give(name: string, type: string, resources: readonly object[]): void {
  const path = join(folder, name);
  const typed = resources.map((each) => ({ '@type': `type.googleapis.com/envoy.config.${type}`, ...each }));
  writeFileSync(`${path}.new`, JSON.stringify({ version_info: String(Date.now()), resources: typed }));
  renameSync(`${path}.new`, path);
}

const from = (name: string) => ({ path_config_source: { path: join(folder, name) }, resource_api_version: 'V3' });

const extension = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
const processor = {
  name: FILTER,
  disabled: true,
  typed_config: {
    '@type': extension('filters.http.ext_proc.v3.ExternalProcessor'),
    grpc_service: { envoy_grpc: { cluster_name: CLUSTER } },
    processing_mode: {
      request_header_mode: 'SEND',
      response_header_mode: 'SEND',
      request_body_mode: 'FULL_DUPLEX_STREAMED',
      response_body_mode: 'FULL_DUPLEX_STREAMED',
      request_trailer_mode: 'SEND',
      response_trailer_mode: 'SEND',
    },
  },
};

function giveListener(filters: readonly object[]): void {
  const manager = {
    '@type': extension('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'http-8080',
    rds: { route_config_name: 'team/ai/http', config_source: from('rds.json') },
    http_filters: [
      ...filters,
      { name: 'envoy.filters.http.router', typed_config: { '@type': extension('filters.http.router.v3.Router') } },
    ],
  };
  give('lds.json', 'listener.v3.Listener', [
    {
      name: 'team/ai/http',
      address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
      filter_chains: [{ filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] }],
    },
  ]);
}

const name = (index: number) => `httproute/team/tallygate-chat-${index}/rule/0/match/0/ai_example_com`;
const names = (count: number) => Array.from({ length: count }, (_, index) => name(index));

const severalClusters = {
  inline_cluster_specifier_plugin: {
    extension: {
      name: 'envoy.router.cluster_specifier_plugin.priority_group',
      typed_config: {
        '@type': extension('router.cluster_specifiers.priority_group.v3.PriorityGroupClusterSpecifier'),
        priority_groups: [{ name: 'one', clusters: [{ cluster_name: 'provider', weight: 1 }] }],
      },
    },
  },
};

function giveRoutes(
  count: number,
  unfiltered: readonly number[] = [],
  failing: readonly number[] = [],
  tried: readonly number[] = [],
): void {
  const marked = { [FILTER]: { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', config: {} } };
  const routes = Array.from({ length: count }, (_, index) => ({
    name: name(index),
    match: {
      prefix: '/',
      headers: [{ name: 'x-tallygate-route', string_match: { exact: `team/chat-${index}/rule/0` } }],
    },
    ...(failing.includes(index)
      ? { direct_response: { status: 500 } }
      : { route: { ...(tried.includes(index) ? severalClusters : { cluster: 'provider' }), timeout: '0s' } }),
    request_headers_to_remove: ['authorization', 'x-api-key', 'api-key', 'cookie', 'x-tallygate-route'],
    metadata: {
      filter_metadata: {
        'envoy-gateway': { resources: [{ kind: 'HTTPRoute', name: `tallygate-chat-${index}`, namespace: 'team' }] },
      },
    },
    ...(unfiltered.includes(index) ? {} : { typed_per_filter_config: marked }),
  }));
  give('rds.json', 'route.v3.RouteConfiguration', [
    { name: 'team/ai/http', virtual_hosts: [{ name: 'ai', domains: ['*'], routes }] },
  ]);
}

const assignment = (address: object) => ({
  cluster_name: CLUSTER,
  endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
});

async function until(holds: (configCheck: ConfigCheckReport) => boolean): Promise<ConfigCheckReport> {
  for (let i = 0; i < 1500; i++) {
    const last = configChecks.at(-1);
    if (last !== undefined && holds(last)) {
      return last;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`the last configCheck is ${JSON.stringify(configChecks.at(-1))}`);
}

const clean = (configCheck: ConfigCheckReport, expected: number) =>
  'expected' in configCheck &&
  configCheck.expected === expected &&
  configCheck.missing.total +
    configCheck.unfiltered.total +
    configCheck.failing.total +
    configCheck.listenersWithoutFilter.total ===
    0;

const nothing = { routes: [], attemptRoutes: [], clusters: [] };

function giveClusters(...names: readonly string[]): void {
  give('cds.json', 'cluster.v3.Cluster', [
    { name: CLUSTER, type: 'EDS', eds_cluster_config: { eds_config: from('eds.json') } },
    { name: 'provider', type: 'STATIC' },
    ...names.map((each) => ({ name: each, type: 'STATIC' })),
  ]);
}

before(async () => {
  giveListener([processor]);
  giveRoutes(3);
  giveClusters();
  give('eds.json', 'endpoint.v3.ClusterLoadAssignment', [assignment({ pipe: { path: SOCKET } })]);
  const bootstrap = {
    node: { id: 'one', cluster: 'one' },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
    dynamic_resources: { lds_config: from('lds.json'), cds_config: from('cds.json') },
  };
  writeFileSync(join(folder, 'bootstrap.json'), JSON.stringify(bootstrap));
  const adminPath = join(folder, 'admin');
  envoy = spawn(
    ENVOY,
    [
      '-c',
      join(folder, 'bootstrap.json'),
      '--use-dynamic-base-id',
      '--concurrency',
      '1',
      '--admin-address-path',
      adminPath,
    ],
    { stdio: 'ignore' },
  );
  for (let i = 0; i < 1000 && admin === undefined; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    try {
      const [host = '', port = ''] = readFileSync(adminPath, 'utf8').split(':');
      admin = { host, port: Number(port) };
    } catch {
      // Not written yet.
    }
  }
  verifier = startConfigVerifier({
    admin,
    socketPath: SOCKET,
    found: (configCheck) => configChecks.push(configCheck),
    log,
  });
});

after(() => {
  verifier?.close();
  envoy?.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

test('beside a real Envoy', { concurrency: false, timeout: 110_000 }, async (t) => {
  await t.test('what Envoy has is proved, for the version that was asked', async () => {
    verifier.expect(version, names(3));
    assert.deepEqual((await until((configCheck) => clean(configCheck, 3))).version, version);
  });

  await t.test('a route that loses the filter, and gets it back', async () => {
    giveRoutes(3, [1]);
    const configCheck = await until((each) => 'unfiltered' in each && each.unfiltered.total === 1);
    assert.deepEqual('unfiltered' in configCheck && configCheck.unfiltered.names, [name(1)]);
    giveRoutes(3);
    await until((each) => clean(each, 3));
  });

  await t.test('a listener that loses the filter', async () => {
    giveListener([]);
    await until((each) => 'missing' in each && each.listenersWithoutFilter.names[0] === 'team/ai/http');
    giveListener([processor]);
    await until((each) => clean(each, 3));
  });

  await t.test('a policy ahead of Envoy is proved when Envoy has followed', async () => {
    verifier.expect({ ...version, counter: 2 }, names(4));
    await until((each) => 'missing' in each && each.missing.total === 1);
    giveRoutes(4);
    assert.equal((await until((each) => clean(each, 4))).version.counter, 2);
  });

  await t.test('new routes are waited for until Envoy can carry them out', async () => {
    let routed = false;
    const waiting = verifier.waitFor({ ...nothing, routes: [name(0), name(4)] }).then(() => {
      routed = true;
    });
    giveRoutes(5, [], [4]);
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert.equal(routed, false, 'a route that is there, and fails');
    giveRoutes(5);
    const givenMs = performance.now();
    await waiting;
    const tookMs = performance.now() - givenMs;
    assert.ok(tookMs < 800, `${tookMs} ms`);
    giveRoutes(4);
    await until((each) => clean(each, 4));
  });

  await t.test('attempts are waited for until Envoy has their clusters and tries several', async () => {
    const [id, cluster] = ['team/chat-0/rule/0', 'attempt/team/spare'];
    let ready = false;
    const waiting = verifier.waitFor({ routes: [], attemptRoutes: [id], clusters: [cluster] }).then(() => {
      ready = true;
    });
    giveClusters(cluster);
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(ready, false, 'a route that is there, and tries one cluster');
    giveRoutes(4, [], [], [0]);
    const givenMs = performance.now();
    await waiting;
    assert.ok(performance.now() - givenMs < 800);
    const startedMs = performance.now();
    await verifier.waitFor({ ...nothing, clusters: ['attempt/team/other'] });
    assert.ok(performance.now() - startedMs > 1400, 'a cluster that Envoy does not have');
    giveRoutes(4);
    await until((each) => clean(each, 4));
  });

  await t.test('and not for long where Envoy never can', async () => {
    const startedMs = performance.now();
    await verifier.waitFor({ ...nothing, routes: [name(7)] });
    const tookMs = performance.now() - startedMs;
    assert.ok(tookMs > 1400 && tookMs < 2000, `${tookMs} ms`);
  });

  await t.test('nothing is told where nothing has changed', async () => {
    const told = configChecks.length;
    await new Promise((resolve) => setTimeout(resolve, 2500));
    assert.equal(configChecks.length, told);
  });

  await t.test('5,000 routes are looked at beside the event loop', async (each) => {
    giveRoutes(5000, [4999]);
    verifier.expect({ ...version, counter: 3 }, names(5000));
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const start = performance.now();
    const before = process.threadCpuUsage();
    await until(
      (configCheck) => 'expected' in configCheck && configCheck.expected === 5000 && configCheck.unfiltered.total === 1,
    );
    delay.disable();
    const { user, system } = process.threadCpuUsage(before);
    const { length } = await readAdmin(admin, '/config_dump?resource=dynamic_route_configs', 1e9);
    const ms = (value: number) => Math.round(value * 10) / 10;
    each.diagnostic(
      `${ms(length / 1e6)} MB, proved after ${ms(performance.now() - start)} ms, event loop held at most ${ms(delay.max / 1e6)} ms, its thread busy for ${ms((user + system) / 1000)} ms`,
    );
    // Of the thread itself: a busy machine holds the loop too.
    assert.ok(user + system < 200_000);
  });

  await t.test('an Envoy that is gone cannot be read, and says so', async () => {
    envoy.kill('SIGKILL');
    const configCheck = await until((each) => 'unreadable' in each);
    assert.match('unreadable' in configCheck ? configCheck.unreadable : '', /ECONN/);
    await verifier.waitFor({ ...nothing, routes: [name(0)] });
  });
});

test('an answer of Envoy’s that is too large is not read to its end', async () => {
  const { createServer } = await import('node:http');
  const server = createServer((_, response) => response.end('x'.repeat(1_000_000)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  await assert.rejects(readAdmin({ host: '127.0.0.1', port }, '/', 1000), /exceeds 1000 bytes/);
  server.close();
});
