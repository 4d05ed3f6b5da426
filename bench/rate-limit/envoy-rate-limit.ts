/**
 * Runs Envoys with the global rate limit service (envoyproxy/ratelimit and Redis) and costs in
 * tokens, as Envoy AI Gateway has Envoy Gateway configure them: a request is checked without a
 * cost, and its tokens are charged at the end of its response. Instead of AI Gateway's processor, a
 * Lua filter reads the usage, so that the difference in latency is not the difference of
 * processors.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { freePorts } from '../../fixtures/free-ports.ts';
import { startRedis } from '../../fixtures/redis-server.ts';
import { address, type EnvoyAdditions, startEnvoyAlone, TYPES } from '../envoy-alone.ts';
import { answers, type Running, start, until } from '../processes.ts';
import { redisCommand } from '../shared-store/redis.ts';
import type { Side, SideOptions } from './sides.ts';

const DOMAIN = 'bench';
/** The longest text around the number in a usage object, which two chunks may share. */
const KEPT_BYTES = 64;

const lua = `
function envoy_on_response(handle)
  local rest = ""
  for chunk in handle:bodyChunks() do
    local text = rest .. chunk:getBytes(0, chunk:length())
    local tokens = text:match('"total_tokens":(%d+)%D')
    if tokens then
      handle:streamInfo():dynamicMetadata():set("${DOMAIN}", "total_tokens", tonumber(tokens))
    end
    rest = text:sub(-${KEPT_BYTES})
  end
end
`;

/** Needs the program of the rate limit service in RATELIMIT. */
export async function startEnvoyRateLimit(options: SideOptions): Promise<Side> {
  const { envoy, folder, providerPort, workers, tokens, replicas } = options;
  const program = process.env['RATELIMIT'];
  if (program === undefined) {
    throw new Error('RATELIMIT must name the program of github.com/envoyproxy/ratelimit (src/service_cmd)');
  }
  const [grpcPort = 0, httpPort = 0, debugPort = 0] = await freePorts(3);
  const redis = await startRedis();
  const runtime = path.join(folder, 'ratelimit');
  mkdirSync(path.join(runtime, 'config'), { recursive: true });
  const limit = { unit: 'day', requests_per_unit: tokens };
  const limits = { domain: DOMAIN, descriptors: [{ key: 'team', rate_limit: limit }] };
  writeFileSync(path.join(runtime, 'config', 'limits.yaml'), JSON.stringify(limits));
  const service = start(program, [], {
    env: {
      ...process.env,
      DISABLE_STATS: 'true',
      LOG_LEVEL: 'error',
      HOST: '127.0.0.1',
      PORT: String(httpPort),
      GRPC_HOST: '127.0.0.1',
      GRPC_PORT: String(grpcPort),
      DEBUG_HOST: '127.0.0.1',
      DEBUG_PORT: String(debugPort),
      REDIS_SOCKET_TYPE: 'tcp',
      REDIS_URL: `127.0.0.1:${redis.port}`,
      RUNTIME_ROOT: runtime,
      RUNTIME_SUBDIRECTORY: '',
      RUNTIME_WATCH_ROOT: 'false',
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await until('start of the rate limit service', 10_000, () => answers(`http://127.0.0.1:${httpPort}/healthcheck`));
  const envoys: (Running & { readonly port: number })[] = [];
  for (let replica = 0; replica < replicas; replica += 1) {
    const [listen = 0, admin = 0] = await freePorts(2);
    const ports = { listen, admin, provider: providerPort };
    envoys.push({ port: listen, ...(await startEnvoyAlone(envoy, folder, ports, workers, additions(grpcPort))) });
  }
  return {
    ports: envoys.map(({ port }) => port),
    async charged() {
      const keys = (await redisCommand(redis, 'keys', `${DOMAIN}*`)).filter((key) => key !== '');
      const values = await Promise.all(keys.map((key) => redisCommand(redis, 'get', key)));
      return values.reduce((total, [value]) => total + Number(value), 0);
    },
    async stop() {
      await Promise.all([...envoys, service].map((running) => running.stop()));
      await redis.stop();
    },
  };
}

function additions(grpcPort: number): EnvoyAdditions {
  const actions = [{ request_headers: { header_name: 'x-team', descriptor_key: 'team' } }];
  return {
    perRoute: {
      'envoy.filters.http.ratelimit': {
        '@type': `${TYPES}.filters.http.ratelimit.v3.RateLimitPerRoute`,
        // The check of a request costs nothing; the response costs what the provider reports.
        rate_limits: [
          { actions, hits_addend: { number: 0 } },
          {
            actions,
            hits_addend: { format: `%DYNAMIC_METADATA(${DOMAIN}:total_tokens)%` },
            apply_on_stream_done: true,
          },
        ],
      },
    },
    httpFilters: [
      {
        name: 'envoy.filters.http.ratelimit',
        typed_config: {
          '@type': `${TYPES}.filters.http.ratelimit.v3.RateLimit`,
          domain: DOMAIN,
          failure_mode_deny: true,
          // By default, a check that takes 20 ms fails, which a loaded machine would decide.
          timeout: '1s',
          rate_limit_service: {
            grpc_service: { envoy_grpc: { cluster_name: 'ratelimit' } },
            transport_api_version: 'V3',
          },
        },
      },
      {
        name: 'envoy.filters.http.lua',
        typed_config: {
          '@type': `${TYPES}.filters.http.lua.v3.Lua`,
          default_source_code: { inline_string: lua },
        },
      },
    ],
    clusters: [
      {
        name: 'ratelimit',
        type: 'STATIC',
        connect_timeout: '5s',
        load_assignment: {
          cluster_name: 'ratelimit',
          endpoints: [{ lb_endpoints: [{ endpoint: { address: address(grpcPort) } }] }],
        },
        typed_extension_protocol_options: {
          'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
            '@type': `${TYPES}.upstreams.http.v3.HttpProtocolOptions`,
            explicit_http_config: { http2_protocol_options: {} },
          },
        },
      },
    ],
  };
}
