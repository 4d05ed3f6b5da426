/**
 * Runs Envoy with a processor that only returns what it gets, on Tallygate's transport: the most
 * that any processor can reach in this protocol. Written by hand, as Envoy alone is.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { freePorts } from '../fixtures/free-ports.ts';
import { type EnvoyAdditions, startEnvoyAlone, TYPES } from './envoy-alone.ts';
import { start, until } from './processes.ts';
import type { Testbed } from './testbed.ts';

const program = path.resolve(import.meta.dirname, '../tools/empty-processor.ts');

export interface EmptyGateway {
  readonly port: number;
  readonly envoyPid: number;
  readonly processorPid: number;
}

/** Starts both for `work`, and stops them afterwards. */
export async function withEmpty<T>(testbed: Testbed, work: (empty: EmptyGateway) => Promise<T>): Promise<T> {
  const { envoy: binary, provider, machine } = testbed;
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tallygate-empty-'));
  const socket = path.join(folder, 'processor.sock');
  // The young generation of `tallygate run`.
  const processor = start(process.execPath, ['--max-semi-space-size=8', program, socket], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  try {
    await until('start of the empty processor', 10_000, () => existsSync(socket));
    const [listen = 0, admin = 0] = await freePorts(2);
    const ports = { listen, admin, provider: provider.port };
    const envoy = await startEnvoyAlone(binary, folder, ports, machine.envoyWorkers, additions(socket));
    try {
      return await work({ port: listen, envoyPid: envoy.pid, processorPid: processor.pid });
    } finally {
      await envoy.stop();
    }
  } finally {
    await processor.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

const CLUSTER = 'empty';

function additions(socket: string): EnvoyAdditions {
  const filter = {
    '@type': `${TYPES}.filters.http.ext_proc.v3.ExternalProcessor`,
    stat_prefix: CLUSTER,
    grpc_service: { envoy_grpc: { cluster_name: CLUSTER } },
    allow_content_length_header: true,
    message_timeout: '120s',
    processing_mode: {
      request_header_mode: 'SEND',
      response_header_mode: 'SEND',
      request_body_mode: 'FULL_DUPLEX_STREAMED',
      response_body_mode: 'FULL_DUPLEX_STREAMED',
      request_trailer_mode: 'SEND',
      response_trailer_mode: 'SEND',
    },
  };
  return {
    httpFilters: [{ name: 'envoy.filters.http.ext_proc', typed_config: filter }],
    perRoute: {},
    clusters: [cluster(socket)],
  };
}

function cluster(socket: string): object {
  const windows = { initial_stream_window_size: 262_144, initial_connection_window_size: 2_147_483_647 };
  return {
    name: CLUSTER,
    type: 'STATIC',
    connect_timeout: '1s',
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': `${TYPES}.upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: { http2_protocol_options: windows },
      },
    },
    load_assignment: {
      cluster_name: CLUSTER,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: socket } } } }] }],
    },
  };
}
