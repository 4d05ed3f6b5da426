/** What requests used is reported by `tallygate usage` and `tallygate explain`, once each. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { promisify } from 'node:util';
import { startGateway } from './support/gateway.ts';
import { chat, limitedRoute, recordsOf } from './support/limits.ts';
import { startProvider } from './support/provider.ts';
import { teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { backends, type World } from './support/world.ts';

const program = path.join(import.meta.dirname, '../../cli/main.ts');

let world: World;
before(async () => {
  const provider = await startProvider();
  const quota = teamQuota('tokens', 'TotalTokens', 2_000);
  const gateway = await startGateway([...backends(provider.port), ...limitedRoute({ large: { quotas: [quota] } })]);
  world = { provider, gateway, stop: () => gateway.stop() };
});
after(async () => {
  await world?.stop();
  await world?.provider.stop();
});

interface Reported {
  readonly requests?: number;
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly decision?: string;
  readonly hold?: { readonly limits: readonly { readonly charged: number }[] };
}

async function tallygate(...args: readonly string[]): Promise<readonly Reported[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...args, '--json'], {
    env: { ...process.env, XDG_STATE_HOME: path.join(world.gateway.folder, 'state') },
  });
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

it('settled requests are summed and explained, and refused ones are explained', async () => {
  const team = 'books';
  const ask = (body: object, tokens: number) =>
    chat(world, 'large', { team, body: { ...body }, mock: { tokens, tokensAChunk: 10 } });
  await ask({ max_completion_tokens: 20 }, 20);
  await ask({ stream: true }, 5_000);
  const refused = await ask({ max_completion_tokens: 1_000 }, 1);
  const lines = (await recordsOf(world, team, 3)).map(({ line }) => JSON.parse(line));
  const settled = lines.filter(({ tokens }) => tokens !== undefined);
  const sum = (kind: string) => settled.reduce((all, { tokens }) => all + tokens[kind], 0);
  let rows: readonly Reported[] = [];
  await waitFor(
    'usage of all settled requests',
    async () => {
      rows = await tallygate('usage', '--by', 'route,model');
      return rows[0]?.requests === settled.length;
    },
    15_000,
  );
  assert.deepEqual([rows.length, rows[0]?.inputTokens, rows[0]?.outputTokens], [1, sum('input'), sum('output')]);
  for (const line of lines) {
    const [explained] = await tallygate('explain', line.requestId);
    assert.equal(explained?.decision, line.decision);
    if (line.tokens !== undefined) {
      assert.equal(explained?.hold?.limits[0]?.charged, line.tokens.input + line.tokens.output);
    }
  }
  assert.equal(refused.status, 429);
});
