/**
 * Writes the generated files: CRD YAML, dashboards and the pages of docs/reference. `make check`
 * fails if one is out of date.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { conditions } from '../crds/conditions.ts';
import { customResourceDefinition } from '../crds/custom-resource.ts';
import { kinds } from '../crds/kinds.ts';
import { conversionsPage } from './conversions-page.ts';
import { dashboards } from './dashboards/all.ts';
import { buildDashboard } from './dashboards/build.ts';
import { committedResults, detectorsPage } from './detectors-page.ts';
import { commandLinePage, environmentPage } from './environment-page.ts';
import { errorsPage } from './errors-page.ts';
import { metricsPage } from './metrics-page.ts';
import { conditionsPage, kindPage } from './reference.ts';

const root = new URL('../', import.meta.url);

function write(path: string, text: string): void {
  const file = new URL(path, root);
  mkdirSync(new URL('.', file), { recursive: true });
  writeFileSync(file, text);
}

for (const definition of kinds) {
  const header = `# Generated from crds/${definition.page}.ts by \`make generate\`. Do not edit.\n`;
  // Helm reads YAML 1.1, in which an unquoted `on` is true.
  const options = { version: '1.1', aliasDuplicateObjects: false, lineWidth: 0 } as const;
  const yaml = stringify(customResourceDefinition(definition), options);
  write(`crds/${definition.plural}.yaml`, header + yaml);
  // Helm packs only files of the chart's own folder.
  write(`charts/tallygate/files/crds/${definition.plural}.yaml`, header + yaml);
  const example = readFileSync(new URL(`crds/examples/valid/${definition.page}.yaml`, root), 'utf8');
  write(`docs/reference/${definition.page}.md`, kindPage(definition, example));
}
for (const description of dashboards) {
  const text = JSON.stringify(buildDashboard(description), null, 2);
  write(`charts/tallygate/files/dashboards/${description.name}.json`, `${text}\n`);
}
write('docs/reference/conditions.md', conditionsPage(conditions));
write('docs/reference/conversions.md', await conversionsPage());
write('docs/reference/detectors.md', detectorsPage(committedResults()));
write('docs/reference/errors.md', errorsPage());
write('docs/reference/metrics.md', await metricsPage());
write('docs/reference/environment.md', environmentPage());
write('docs/reference/command-line.md', commandLinePage());
