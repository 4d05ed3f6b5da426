/** All that one gateway writes and serves, beside its responses to clients. */
import type { ChildProcessByStdio } from 'node:child_process';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { secretsIn, secretsInEnvironment } from '../../../../fixtures/leaks/protected-values.ts';
import { processTree } from '../processes.ts';
import { addFiles, Output, protect } from './outputs.ts';

const ANSWER_MS = 2_000;
/** Budgets and usage are in the metrics and on disk; as pages, they take a second. */
const METRICS_PATHS = ['/metrics', '/console/api/streams', '/console/api/refusals', '/console/api/backends'];
const ENVOY_PATHS = ['/stats', '/config_dump?include_eds', '/clusters', '/listeners', '/certs', '/server_info'];
/** What Envoy and extproc read their secrets from. Only the user of the gateway may read these. */
const SECRET_FILE = /\/(envoy\/secret-[^/]*|detector-secrets)\.json$/;

export interface GatewayPlaces {
  readonly metricsUrl: string;
  readonly stateHome: string;
  /** The YAML files. */
  readonly files: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
}

export class GatewayOutputs {
  readonly #pid: number;
  readonly #places: GatewayPlaces;

  constructor(gateway: ChildProcessByStdio<null, Readable, Readable>, places: GatewayPlaces) {
    this.#pid = gateway.pid ?? 0;
    this.#places = places;
    const stdout = new Output('the standard output of the gateway');
    gateway.stdout.on('data', (chunk: Buffer) => stdout.add(chunk));
    const log = new Output('the log of the gateway');
    gateway.stderr.on('data', (chunk: Buffer) => log.add(chunk));
    this.protectConfiguration();
    protect(secretsInEnvironment(places.environment));
  }

  /** Call after each change of the files. */
  protectConfiguration(): void {
    for (const file of this.#places.files) {
      protect(secretsIn(textOf(file), this.#places.environment));
    }
  }

  /** Reads what the gateway serves and has on disk while it runs. */
  async readLive(): Promise<void> {
    this.protectConfiguration();
    const { metricsUrl, stateHome } = this.#places;
    const commands = new Output('a command line of the gateway');
    for (const { command } of processTree(this.#pid)) {
      commands.add(`${command}\n`);
    }
    const { hostname, port } = new URL(metricsUrl);
    const socketPath = path.join(stateHome, 'tallygate/default/envoy-admin.sock');
    await Promise.all([
      ...METRICS_PATHS.map((each) => readPage(each, { hostname, port, path: each })),
      ...ENVOY_PATHS.map((each) => readPage(`Envoy's ${each}`, { socketPath, path: each })),
    ]);
    addFiles(
      stateHome,
      'while the gateway runs',
      ({ path: file, mode }) => !(SECRET_FILE.test(file) && (mode & 0o077) === 0),
    );
  }

  /** Reads what a gateway that has ended leaves on disk. */
  readLeftFiles(): void {
    addFiles(this.#places.stateHome, 'after the end of the gateway');
  }
}

/** A gateway that has ended, or whose console wants a sign-in, serves nothing. */
function readPage(place: string, options: http.RequestOptions): Promise<void> {
  return new Promise((resolve) => {
    const request = http.get({ ...options, timeout: ANSWER_MS, agent: false }, (response) => {
      const page = new Output(`the page ${place}`);
      response.on('data', (chunk: Buffer) => page.add(chunk));
      response.on('error', () => {});
      response.on('close', () => resolve());
    });
    request.on('error', () => resolve());
    request.on('timeout', () => request.destroy());
  });
}

/** A test may have removed the file. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
