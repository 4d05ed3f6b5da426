import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { EnvoyOptions, JsonObject, Plan } from '../plan.ts';
import { readWorld } from '../read/read.ts';
import { exampleJwks, exampleOptions, exampleVariables } from '../testing.ts';
import { translate } from '../translate.ts';
import { bootstrap } from './bootstrap.ts';
import { envoyFiles } from './files.ts';

const binary = fileURLToPath(new URL('../../.tools/bin/envoy', import.meta.url));
const folder = new URL('../testdata/', import.meta.url);

test('`make setup` installs Envoy', () => assert.ok(existsSync(binary), 'run `make setup`'));

describe('Envoy accepts the configuration of each golden file', () => {
  for (const name of readdirSync(folder).filter((each) => each.endsWith('.in.yaml'))) {
    test(name, async () => {
      const directory = mkdtempSync(join(tmpdir(), 'tallygate-'));
      try {
        const caBundle = fileURLToPath(new URL('testdata/localhost.crt', import.meta.url));
        const options = { ...exampleOptions.envoy, directory, caBundle };
        const { world } = readWorld([{ name, text: readFileSync(new URL(name, folder), 'utf8') }], exampleVariables);
        const plan = translate({ ...world, jwks: exampleJwks }, { ...exampleOptions, envoy: options });
        for (const file of envoyFiles(plan)) {
          writeFileSync(join(directory, file.name), file.text);
        }
        const whole = join(directory, 'whole.json');
        writeFileSync(whole, JSON.stringify(inOnePiece(plan, options)));
        const { stderr } = await promisify(execFile)(binary, ['--mode', 'validate', '-l', 'warning', '-c', whole]);
        assert.doesNotMatch(stderr, /deprecated/i);
      } finally {
        rmSync(directory, { recursive: true });
      }
    });
  }
});

/** Puts all resources into the bootstrap, because validation does not read separate files. */
function inOnePiece({ envoy }: Plan, options: EnvoyOptions): object {
  const { dynamic_resources: _, static_resources: resources, ...rest } = bootstrap(options);
  const { clusters } = resources as { readonly clusters: readonly JsonObject[] };
  const listeners = JSON.parse(JSON.stringify(envoy.listeners), (_key, value) => {
    if (value?.rds !== undefined) {
      const { rds, ...manager } = value;
      return { ...manager, route_config: envoy.routes.find(({ name }) => name === rds.route_config_name) };
    }
    return value?.config_discovery === undefined ? value : envoy.extensions.find(({ name }) => name === value.name);
  });
  return { ...rest, static_resources: { clusters: [...clusters, ...envoy.clusters], listeners } };
}
