/**
 * Compares the rendered chart with the expected files in charts/testdata (UPDATE_GOLDEN=1 rewrites
 * them), and checks that invalid values are refused with a fix.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { CHART, helm, template } from './support/helm.ts';
import { CommandFailure, command, repository } from './support/kubectl.ts';

const testdata = path.join(repository, 'charts/testdata');

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec: object;
}

async function manifests(...args: readonly string[]): Promise<readonly Manifest[]> {
  const documents = parseAllDocuments(await template(...args)).map((each) => each.toJS() as Manifest | null);
  return documents.filter((each) => each !== null);
}

describe('expected files', () => {
  for (const file of readdirSync(testdata).filter((each) => each.endsWith('.values.yaml'))) {
    it(file, async () => {
      const values = path.join(testdata, file);
      await helm('lint', CHART, '--strict', '-f', values);
      const text = await template('-f', values);
      // CRDs and the content of dashboards have separate tests.
      const shown = text
        .split(/^---\n/m)
        .filter((part) => part !== '' && !part.includes('\nkind: CustomResourceDefinition\n'))
        .join('---\n')
        .replace(/^( {2}tallygate-.+\.json: \|\n)(?: {4}.*\n)+/gm, '$1    …\n');
      const expected = values.replace('.values.', '.out.');
      if (process.env['UPDATE_GOLDEN'] === '1') {
        writeFileSync(expected, shown);
      }
      assert.equal(shown, readFileSync(expected, 'utf8'));
    });
  }
});

describe('CRDs', () => {
  const folder = path.join(repository, 'crds');
  const files = readdirSync(folder).filter((each) => each.endsWith('.yaml'));

  it('are equal to those of the checkout, including large numbers', async () => {
    const rendered = (await manifests()).filter(({ kind }) => kind === 'CustomResourceDefinition');
    assert.equal(rendered.length, files.length);
    for (const file of files) {
      const original = parse(readFileSync(path.join(folder, file), 'utf8')) as Manifest;
      const found = rendered.find(({ metadata }) => metadata.name === original.metadata.name);
      assert.deepEqual(found?.spec, original.spec);
    }
  });

  it('are kept when the chart is uninstalled, except with crds.keep=false', async () => {
    const kept = async (...args: readonly string[]) =>
      (await manifests(...args))
        .filter(({ kind }) => kind === 'CustomResourceDefinition')
        .map(({ metadata }) => metadata.annotations?.['helm.sh/resource-policy']);
    assert.deepEqual(
      await kept(),
      files.map(() => 'keep'),
    );
    assert.deepEqual(
      await kept('--set', 'crds.keep=false'),
      files.map(() => undefined),
    );
    assert.deepEqual(await kept('--set', 'crds.install=false'), []);
  });
});

describe('dashboards', () => {
  it('are those of the checkout, in ConfigMaps that the sidecar of Grafana finds', async () => {
    const rendered = (await manifests('--set', 'monitoring.dashboards.enabled=true')).filter(
      ({ metadata }) => metadata.labels?.['grafana_dashboard'] === '1',
    );
    const folder = path.join(CHART, 'files/dashboards');
    const expected = readdirSync(folder).map((file) => [
      `tallygate-${file}`,
      readFileSync(path.join(folder, file), 'utf8'),
    ]);
    assert.deepEqual(
      rendered.flatMap(({ data = {} }) => Object.entries(data)),
      expected,
    );
  });

  it('are not rendered by default', async () => {
    assert.deepEqual(
      (await manifests()).filter(({ kind }) => kind === 'ConfigMap'),
      [],
    );
  });
});

describe('tallygate sidecar-patch', () => {
  const patch = async (...args: readonly string[]) => {
    const text = await command(process.execPath, [path.join(repository, 'cli/main.ts'), 'sidecar-patch', ...args]);
    return (parse(text) as Manifest).spec;
  };
  const ofChart = async (...args: readonly string[]) =>
    (await manifests(...args)).find(({ kind }) => kind === 'EnvoyProxy')?.spec;

  it('prints the EnvoyProxy of the chart', async () => {
    assert.deepEqual(await patch(), await ofChart());
  });

  it('accepts another image, a DaemonSet and another drain time', async () => {
    const image = 'registry.example.com:5000/ai/tallygate:v1';
    const sets = [
      'image.repository=registry.example.com:5000/ai/tallygate',
      'image.tag=v1',
      'proxy.workload=DaemonSet',
      'proxy.drainTimeoutSeconds=90',
    ];
    assert.deepEqual(
      await patch('--daemonset', '--image', image, '--drain-timeout', '90'),
      await ofChart(...sets.flatMap((each) => ['--set', each])),
    );
  });

  it('refuses invalid options', async () => {
    for (const wrong of [
      ['--image', 'a b'],
      ['--controller', 'nowhere'],
      ['--drain-timeout', '0'],
      ['--drain-timeout', 'long'],
      ['more'],
    ]) {
      await assert.rejects(patch(...wrong), (error) => error instanceof CommandFailure && /Usage: /.test(error.stderr));
    }
  });
});

describe('the quota store of the chart', () => {
  const own = ['--set', 'quotaStore.type=Own'];
  const passwordOf = async (...args: readonly string[]) => {
    const secret = (await manifests(...own, ...args)).find(({ kind }) => kind === 'Secret');
    return (secret as { readonly data?: Readonly<Record<string, string>> } | undefined)?.data?.['password'];
  };

  it('has a generated password, unless a Secret is named', async () => {
    const password = Buffer.from((await passwordOf()) ?? '', 'base64').toString();
    assert.match(password, /^[A-Za-z0-9]{32}$/);
    assert.equal(await passwordOf('--set', 'quotaStore.own.secretName=mine'), undefined);
  });

  it('is not rendered by default', async () => {
    assert.doesNotMatch(await template(), /quota-store/);
  });

  const external = ['quotaStore.type=External', 'quotaStore.external.addresses={a:6379,b:6379}'];
  const urls: readonly (readonly [string, readonly string[], string])[] = [
    ['a cluster with TLS', ['mode=Cluster', 'tls.enabled=true'], 'rediss+cluster://a:6379,b:6379?keyPrefix=tallygate'],
    ['a database', ['database=2'], 'redis://a:6379,b:6379/2?keyPrefix=tallygate'],
    ['Sentinels', ['mode=Sentinel', 'sentinelMaster=main'], 'redis+sentinel://a:6379,b:6379/main?keyPrefix=tallygate'],
  ];
  for (const [what, sets, url] of urls) {
    it(`is ${what} elsewhere, by the URL that the controller reads`, async () => {
      const values = [...external, ...sets.map((each) => `quotaStore.external.${each}`)];
      const text = await template(...values.flatMap((each) => ['--set', each]));
      assert.ok(text.includes(`"--quota-store=${url}"`), text.match(/--quota-store.*/)?.[0]);
    });
  }

  it('needs the name of the primary with Sentinels, and TLS for a server name', async () => {
    const render = (value: string) => template(...[...external, value].flatMap((each) => ['--set', each]));
    await assert.rejects(render('quotaStore.external.mode=Sentinel'), /needs quotaStore\.external\.sentinelMaster/);
    await assert.rejects(render('quotaStore.external.tls.serverName=a'), /needs quotaStore\.external\.tls\.enabled/);
  });
});

describe('refusals', () => {
  const refusals: readonly (readonly [string, RegExp])[] = [
    ['controller.replica=2', /[Aa]dditional propert\S+ '?replica'?/],
    ['controller.replicas=0', /controller[./]replicas/],
    ['controller.watchNamespaces[0]=Team_A', /watchNamespaces/],
    ['controller.logLevel=loud', /logLevel/],
    ['image.digest=abc', /image[./]digest/],
    ['image.pullPolicy=Sometimes', /pullPolicy/],
    ['proxy.workload=StatefulSet', /proxy[./]workload/],
    ['proxy.drainTimeoutSeconds=0', /drainTimeoutSeconds/],
    ['proxy.spec.bootstrap.type=Merge', /tallygate sidecar-patch/],
    ['proxy.spec.shutdown.drainTimeout=5s', /proxy\.drainTimeoutSeconds/],
    ['proxy.spec.provider.kubernetes.envoyDeployment.patch.type=JSONMerge', /tallygate sidecar-patch/],
    [
      'proxy.spec.provider.kubernetes.envoyDaemonSet.pod.hostNetwork=true',
      /envoyDeployment only, because proxy\.workload is Deployment/,
    ],
    ['crds.keep=maybe', /crds[./]keep/],
    ['monitoring.interval=often', /monitoring[./]interval/],
    ['monitoring.dashboards.namespace=Graf_ana', /dashboards[./]namespace/],
    ['monitoring.enabled=true', /networkPolicies\.metricsFrom/],
    ['controller.allowedDestinations[0]=*.example.com', /allowedDestinations/],
    ['controller.caCertificates.configMap=authorities', /[Aa]dditional propert\S+ '?configMap'?/],
    ['controller.caCertificates.key=../ca', /caCertificates/],
    ['networkPolicies.proxyEgres=false', /[Aa]dditional propert\S+ '?proxyEgres'?/],
    ['sidecar.metricKeys=secret', /metricKeys/],
    ['sidecar.errorDetail=secret', /errorDetail/],
    ['sidecar.stateSize=1', /stateSize/],
    ['sidecar.stateSize=1Gi', /sidecar\.usage\.requestDays to 0/],
    ['sidecar.quotaKeys=10', /sidecar[./]quotaKeys/],
    ['sidecar.usage.days=-1', /usage[./]days/],
    ['sidecar.usage.export[0]=http://collector', /usage[./]export/],
    ['sidecar.usage.days=0,sidecar.usage.export[0]=otlp+http://collector', /export needs single requests/],
    ['console.enabled=true', /console[./]accessPolicies/],
    ['console.accessPolicies[0]=policy', /accessPolicies/],
    ['console.httpRoute.enabled=true', /httpRoute[./]parentRefs/],
    ['console.httpRoute.hostnames[0]=https://console', /httpRoute[./]hostnames/],
    ['quotaStore.type=Redis', /quotaStore[./]type/],
    ['quotaStore.type=External', /External needs quotaStore\.external\.addresses/],
    ['quotaStore.external.addresses[0]=store', /addresses/],
    ['quotaStore.external.adresses[0]=store:6379', /[Aa]dditional propert\S+ '?adresses'?/],
    ['quotaStore.own.maxMemory=1Gi', /maxMemory/],
    ['quotaStore.own.persistence.size=big', /persistence[./]size/],
  ];
  for (const [value, names] of refusals) {
    it(`${value} is refused`, async () => {
      await assert.rejects(
        template('--set', value),
        (error) => (error instanceof CommandFailure && names.test(error.stderr)) || assert.fail(String(error)),
      );
    });
  }
});

it('chart, program and image have the same version', () => {
  const chart = parse(readFileSync(path.join(CHART, 'Chart.yaml'), 'utf8')) as Record<string, unknown>;
  const { version } = JSON.parse(readFileSync(path.join(repository, 'package.json'), 'utf8')) as { version: string };
  assert.deepEqual([chart['version'], chart['appVersion']], [version, version]);
});
