/**
 * Real traffic, read by a real Prometheus: every panel of the dashboards has data, and the queries
 * of autoscalers follow the load.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { type PrometheusServer, skipWithoutPrometheus, startPrometheus } from '../../fixtures/prometheus-server.ts';
import { skipWithoutRedis } from '../../fixtures/redis-server.ts';
import { emptyQueries, panelsIn, type ShownDashboard } from './support/dashboards.ts';
import { type ObservedWorld, startObservedWorld } from './support/observed-world.ts';
import { waitFor } from './support/wait.ts';

const repository = path.resolve(import.meta.dirname, '../..');
const folder = path.join(repository, 'charts/tallygate/files/dashboards');

const WINDOW = '20s';

const dashboards = readdirSync(folder).map((file) => ({
  file,
  panels: panelsIn(JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as ShownDashboard),
}));

/** Serves the metrics of a controller, which only a cluster has, by the names in its source. */
async function startControllerMetrics(): Promise<http.Server> {
  const source = readFileSync(path.join(repository, 'cli/controller.ts'), 'utf8');
  const shown = (name: string) => name.replaceAll('.', '_');
  const lines = [
    ...Array.from(source.matchAll(/\b(counter|gauge)\(\s*'([a-z._]+)'/g), ([, type, name]) => {
      return `${shown(name!)}${type === 'counter' ? '_total' : ''} 1\n`;
    }),
    ...Array.from(source.matchAll(/\bgaugeBy\(\s*'([a-z._]+)',\s*'([a-z._]+)'/g), ([, name, label]) => {
      return `${shown(name!)}{${shown(label!)}="one"} 1\n`;
    }),
  ];
  const server = http.createServer((_, response) => response.end(lines.join('')));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return server;
}

describe('the dashboards', { skip: skipWithoutPrometheus || skipWithoutRedis }, () => {
  let world: ObservedWorld;
  let controller: http.Server;
  let prometheus: PrometheusServer;

  before(async () => {
    world = await startObservedWorld();
    controller = await startControllerMetrics();
    prometheus = await startPrometheus({
      global: { scrape_interval: '200ms', scrape_timeout: '200ms', evaluation_interval: '200ms' },
      rule_files: [path.join(repository, 'charts/tallygate/files/rules.yaml')],
      scrape_configs: [
        { job_name: 'tallygate', static_configs: [{ targets: [new URL(world.gateway.metricsUrl).host] }] },
        {
          job_name: 'controller',
          static_configs: [{ targets: [`127.0.0.1:${(controller.address() as AddressInfo).port}`] }],
        },
      ],
    });
    // The first requests create the series, and those after a scrape make them grow.
    for (let wave = 1; wave <= 2; wave++) {
      await world.traffic();
      await twoScrapes();
    }
  });

  after(async () => {
    await prometheus?.stop();
    controller?.close();
    await world?.stop();
  });

  async function twoScrapes(): Promise<void> {
    const count = async () => (await prometheus.query('count_over_time(up{job="tallygate"}[1h])'))[0]?.value ?? 0;
    const seen = await count();
    await waitFor('two scrapes', async () => (await count()) >= seen + 2);
  }

  for (const { file, panels } of dashboards) {
    it(`${file}: each query has data`, async () => {
      assert.ok(panels.length > 5);
      assert.ok(panels.every(({ targets = [] }) => targets.length > 0));
      let empty = await emptyQueries(prometheus, panels, WINDOW);
      // Some metrics sample the traffic: one count a second is compared, for example.
      for (let wave = 1; wave <= 3 && empty.length > 0; wave++) {
        await world.traffic();
        await twoScrapes();
        empty = await emptyQueries(prometheus, panels, WINDOW);
      }
      assert.deepEqual(empty, []);
    });
  }

  const example = (name: string) =>
    parse(readFileSync(path.join(repository, `examples/autoscaling/${name}.yaml`), 'utf8'));

  /** Returns the query that the adapter sends to Prometheus for an external metric. */
  function adapterQuery({ metric }: { readonly metric: { readonly name: string } }): string {
    const [rule] = example('prometheus-adapter').rules.external;
    const series = metric.name.replace(/^tallygate_backend_(.+)$/, 'tallygate:backend_$1:sum');
    const labels = 'backend_namespace="default",backend_name="openai"';
    return rule.metricsQuery.replace('<<.Series>>', series).replace('<<.LabelMatchers>>', labels);
  }

  it('the queries of autoscalers follow the load, and fall to zero', async () => {
    const { triggers } = example('keda').spec;
    const metrics = example('hpa').spec.metrics as readonly { readonly external: Parameters<typeof adapterQuery>[0] }[];
    const queries = [
      ...triggers.map(({ metadata }: { metadata: { query: string } }) =>
        metadata.query.replace('models/llama', 'default/openai'),
      ),
      ...metrics.map(({ external }) => adapterQuery(external)),
    ];
    const values = () =>
      Promise.all(queries.map(async (query) => (await prometheus.query(query))[0]?.value ?? Number.NaN));
    let last: readonly number[] = [];
    const until = (what: string, holds: (tokens: number, waiting: number) => boolean) =>
      waitFor(
        what,
        async () => {
          last = await values();
          return holds(last[0]!, last[1]!) && holds(last[2]!, last[3]!);
        },
        5_000,
        () => last.join(),
      );
    await until('idle backend', (tokens, waiting) => tokens === 0 && waiting === 0);
    const end = await world.openStreams(8);
    await until('tokens in flight', (tokens) => tokens > 100);
    const queued = world.queue(4);
    await until('waiting requests', (_, waiting) => waiting >= 2);
    const ofQuotas = async (record: string, labels = '') =>
      (await prometheus.query(`sum(tallygate:quota_${record}{${labels}})`))[0]?.value ?? Number.NaN;
    assert.ok(
      (await ofQuotas('held:sum', 'quota_namespace="default", quota_policy="plenty", quota_name="tokens"')) > 100,
    );
    await queued;
    await waitFor('time in the queue', async () => (await ofQuotas('wait_seconds:p95')) > 0.01);
    await end();
    await until('idle backend', (tokens, waiting) => tokens === 0 && waiting === 0);
  });
});
