/**
 * Reads and verifies Envoy's configuration in a worker thread: with 1,000 routes it has several MB,
 * and parsing them would block the event loop of the data plane.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { type AdminAddress, readAdmin } from './admin.ts';
import { type EnvoyConfigDump, verifyConfigDump } from './verify-config-dump.ts';

export interface ConfigCheckTask {
  readonly admin: AdminAddress;
  readonly routeNames: readonly string[];
  readonly socketPath: string;
  /** Values of the route header; their routes must try several clusters. */
  readonly attemptRoutes: readonly string[];
}

/** 1,000 routes with five rules each are about 16 MB. */
const MAX_DUMP_BYTES = 64 * 1024 * 1024;

const { admin, routeNames, socketPath, attemptRoutes } = workerData as ConfigCheckTask;
const dump = async (query: string) =>
  JSON.parse(await readAdmin(admin, `/config_dump?${query}`, MAX_DUMP_BYTES)) as never;
const configuration: EnvoyConfigDump = {
  listeners: await dump('resource=dynamic_listeners'),
  routes: await dump('resource=dynamic_route_configs'),
  // The name pattern that Envoy Gateway gives to clusters of processors.
  endpoints: await dump('include_eds&resource=dynamic_endpoint_configs&name_regex=.*%2Fextproc%2F.*'),
};
parentPort?.postMessage(verifyConfigDump(configuration, routeNames, socketPath, attemptRoutes));
