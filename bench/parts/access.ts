/**
 * Measures what access policies add: processor time of a request with an API key and with a known
 * token, and memory of the keys. Runs a gateway without and one with a policy in turn.
 */
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { MeasuredGateway } from '../gateway.ts';
import { runLoad } from '../load.ts';
import type { Options } from '../options.ts';
import { cpuMs, residentBytes } from '../processes.ts';
import { accessResources, benchKey, resources } from '../resources.ts';
import type { Figure } from '../results.ts';
import { median } from '../statistics.ts';
import type { Testbed } from '../testbed.ts';

const KEYS = 10_000;
const TENANTS = 1_000;
const CONNECTIONS = 16;
const WARM_UP_SECONDS = 5;
const ISSUER = 'https://login.example.org';

interface Costs {
  readonly open: number;
  readonly key: number;
  readonly token: number;
}

export async function access(testbed: Testbed, options: Options): Promise<readonly Figure[]> {
  const { jwks, token } = await newIssuer();
  const policy = { issuer: ISSUER, jwks, keys: KEYS, tenants: TENANTS };
  return testbed.withGateway(
    (port) => resources(port, testbed.provider.port),
    (open) =>
      testbed.withGateway(
        (port) => accessResources(port, testbed.provider.port, policy),
        (guarded) => measure(open, guarded, token, options),
      ),
  );
}

async function newIssuer(): Promise<{ readonly jwks: string; readonly token: string }> {
  const { privateKey, publicKey } = await generateKeyPair('RS256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'bench', alg: 'RS256', use: 'sig' };
  const claims = { team: 'tenant-1', email: 'user@example.org', groups: ['engineering', 'search', 'batch'] };
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: 'RS256', kid: 'bench' })
    .setIssuer(ISSUER)
    .setAudience('bench')
    .setExpirationTime('1h')
    .sign(privateKey);
  return { jwks: JSON.stringify({ keys: [jwk] }), token };
}

async function measure(
  open: MeasuredGateway,
  guarded: MeasuredGateway,
  token: string,
  { seconds, rounds }: Options,
): Promise<readonly Figure[]> {
  const idleBytes = residentBytes(guarded.extprocPid) - residentBytes(open.extprocPid);
  await cost(open, WARM_UP_SECONDS);
  await cost(guarded, WARM_UP_SECONDS, token);
  const costs: Costs[] = [];
  for (let round = 0; round < rounds; round += 1) {
    costs.push({
      open: await cost(open, seconds),
      key: await cost(guarded, seconds, benchKey(round)),
      token: await cost(guarded, seconds, token),
    });
  }
  const part = 'access';
  const added = (of: 'key' | 'token') => median(costs.map((each) => each[of] - each.open));
  const goal = { atMost: 10 };
  return [
    {
      part,
      name: 'processor, a request without access policy',
      value: median(costs.map((each) => each.open)),
      unit: 'µs',
    },
    { part, name: `processor, added to a request by one of ${KEYS} API keys`, value: added('key'), unit: 'µs', goal },
    { part, name: 'processor, added to a request by a known token', value: added('token'), unit: 'µs', goal },
    { part, name: `processor, resident, added by ${KEYS} API keys`, value: idleBytes / 2 ** 20, unit: 'MB' },
  ];
}

/** Returns the processor time of extproc for one request, in microseconds. */
async function cost({ port, extprocPid }: MeasuredGateway, seconds: number, credential?: string): Promise<number> {
  const beforeMs = cpuMs(extprocPid);
  const load = { port, connections: CONNECTIONS, seconds };
  const report = await runLoad(credential === undefined ? load : { ...load, credential });
  const failed = Object.keys(report.outcomes).filter((outcome) => outcome !== '200');
  if (failed.length > 0) {
    throw new Error(`requests failed: ${JSON.stringify(report.outcomes)}`);
  }
  return ((cpuMs(extprocPid) - beforeMs) * 1000) / report.requests;
}
