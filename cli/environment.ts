/**
 * Every environment variable that tallygate reads, in one list (docs/reference/environment.md).
 * Variables in Secrets are read where they are named.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import {
  type Address,
  address,
  oneOf,
  optionalText,
  readEnvironment,
  text,
  type Values,
  wholeNumber,
} from '../runtime/environment.ts';
import { LOG_LEVELS } from '../runtime/log.ts';

const METRICS_ADDRESS: Address = { type: 'tcp', host: '127.0.0.1', port: 9464 };

export const variables = {
  TALLYGATE_LOG_LEVEL: oneOf(LOG_LEVELS, 'info'),
  /** One JSON line a request on stdout. */
  TALLYGATE_ACCESS_LOG: oneOf(['on', 'off'], 'on'),
  /** Values of quota keys in metrics: as they are, or as SHA-256. */
  TALLYGATE_METRIC_KEYS: oneOf(['plain', 'hashed'], 'plain'),
  /** Whether refusals name quotas, rules, routes and limits. */
  TALLYGATE_ERROR_DETAIL: oneOf(['full', 'plain'], 'full'),
  /** The Envoy to run. */
  TALLYGATE_ENVOY: optionalText(),
  /** Where the listeners of Gateways bind: this machine only, unless told otherwise. */
  TALLYGATE_ADDRESS: text('127.0.0.1'),
  TALLYGATE_METRICS_ADDRESS: address(METRICS_ADDRESS),
  /** Worker threads of Envoy. */
  TALLYGATE_CONCURRENCY: wholeNumber(1, 1024, availableParallelism()),
  TALLYGATE_DRAIN_TIMEOUT: wholeNumber(0, 3600, 30),
  OPENAI_API_KEY: optionalText(),
  ANTHROPIC_API_KEY: optionalText(),
  OTEL_EXPORTER_OTLP_ENDPOINT: optionalText(),
  XDG_STATE_HOME: optionalText(),
  /** Tokens of `tallygate login` are kept there. */
  XDG_CONFIG_HOME: optionalText(),
  /** Compiled code is kept there, so that the next start is quick. */
  XDG_CACHE_HOME: optionalText(),
  XDG_RUNTIME_DIR: optionalText(),
  SSL_CERT_FILE: optionalText(),
  /** These three tell whether `tallygate login` can open a browser. */
  SSH_CONNECTION: optionalText(),
  DISPLAY: optionalText(),
  WAYLAND_DISPLAY: optionalText(),
  HOME: optionalText(),
  PATH: text(''),
};

export type Settings = Values<typeof variables>;

export function readSettings(environment: Readonly<Record<string, string | undefined>>) {
  return readEnvironment(variables, environment);
}

/** `$XDG_STATE_HOME`, or what stands for it. */
export function stateHome({ XDG_STATE_HOME, HOME }: Settings, home: string): string {
  // The XDG specification has relative paths ignored.
  return XDG_STATE_HOME?.startsWith('/') ? XDG_STATE_HOME : join(HOME ?? home, '.local/state');
}

/** `$XDG_CONFIG_HOME`, or what stands for it. */
export function configHome({ XDG_CONFIG_HOME, HOME }: Settings, home: string): string {
  return XDG_CONFIG_HOME?.startsWith('/') ? XDG_CONFIG_HOME : join(HOME ?? home, '.config');
}
