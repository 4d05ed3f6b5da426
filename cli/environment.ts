/**
 * Checks every environment variable of Tallygate; docs/reference/environment.md is generated from
 * the list. Variables in Secrets are read elsewhere.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type OperatorMatch, parseOperators } from '../console/api/viewer.ts';
import {
  type ExportHeaders,
  parseExportHeaders,
  parseExportTargets,
  type UsageExportTarget,
} from '../extproc/quota/export/target.ts';
import { memoryDefaults } from '../extproc/quota/memory-options.ts';
import { usageDefaults } from '../extproc/quota/usage-tables.ts';
import { type ContentTarget, parseContentTargets } from '../extproc/telemetry/content/target.ts';
import { OUTCOMES, SAMPLERS } from '../extproc/telemetry/traces/sampling.ts';
import {
  type Address,
  address,
  listOf,
  oneOf,
  optionalText,
  ratio,
  readEnvironment,
  text,
  type Values,
  type Variable,
  wholeNumber,
} from '../runtime/environment.ts';
import { LOG_LEVELS } from '../runtime/log.ts';
import { OTLP_PROTOCOLS } from '../runtime/otlp-protocols.ts';

const METRICS_ADDRESS: Address = { type: 'tcp', host: '127.0.0.1', port: 9464 };

const usageExport: Variable<readonly UsageExportTarget[]> = {
  form: 'otlp+URL or cloudevents+URL, separated by commas',
  parse: parseExportTargets,
  fallback: [],
};

const usageExportHeaders: Variable<ExportHeaders> = {
  form: 'NAME=VALUE, separated by commas, with percent-encoded values',
  parse: parseExportHeaders,
  fallback: {},
};

const contentExport: Variable<readonly ContentTarget[]> = {
  form: 'otlp+URL, otlp+URL?protocol=grpc, s3://BUCKET/PREFIX?region=REGION or s3+URL?region=REGION, separated by commas, each once',
  parse: parseContentTargets,
  fallback: [],
};

const consoleOperators: Variable<readonly OperatorMatch[]> = {
  form: 'operators such as group=platform,tenant=ops&user=ada, with percent-encoded values',
  parse: parseOperators,
  fallback: [],
};

function httpUrl(): Variable<string | undefined> {
  const isUrl = (value: string) => /^https?:\/\//.test(value) && URL.canParse(value);
  return { form: 'an http or https URL', parse: (value) => (isUrl(value) ? value : undefined), fallback: undefined };
}

export const variables = {
  TALLYGATE_LOG_LEVEL: oneOf(LOG_LEVELS, 'info'),
  /** Writes one JSON line per request to stdout. */
  TALLYGATE_ACCESS_LOG: oneOf(['on', 'off'], 'on'),
  /** Shows the values of quota keys in metrics unchanged or as SHA-256. */
  TALLYGATE_METRIC_KEYS: oneOf(['plain', 'hashed'], 'plain'),
  /** Whether refusals name quotas, rules, routes and limits. */
  TALLYGATE_ERROR_DETAIL: oneOf(['full', 'plain'], 'full'),
  /** Days for which sums of usage by hour are kept. 0: requests leave no usage records. */
  TALLYGATE_USAGE_DAYS: wholeNumber(0, 3660, usageDefaults.usageDays),
  /** Days for which the usage of single requests is kept. */
  TALLYGATE_USAGE_REQUEST_DAYS: wholeNumber(0, 366, usageDefaults.usageRequestDays),
  /** The most keys of quotas in memory, about 1 KB each. */
  TALLYGATE_QUOTA_KEYS: wholeNumber(1_000, 1_000_000, memoryDefaults.maxBuckets),
  /** Where the usage of single requests is exported to. */
  TALLYGATE_USAGE_EXPORT: usageExport,
  /** Headers of the exports, such as credentials. */
  TALLYGATE_USAGE_EXPORT_HEADERS: usageExportHeaders,
  /** Where the content goes that content policies keep. */
  TALLYGATE_CONTENT_EXPORT: contentExport,
  /** Headers for the collector of content, such as credentials. */
  TALLYGATE_CONTENT_EXPORT_HEADERS: usageExportHeaders,
  /** The access key for the bucket of content. */
  TALLYGATE_CONTENT_S3_KEY_ID: optionalText(),
  TALLYGATE_CONTENT_S3_SECRET_KEY: optionalText(),
  TALLYGATE_CONTENT_S3_SESSION_TOKEN: optionalText(),
  /** The Redis or Valkey in which replicas share the counts of quotas; may contain a password. */
  TALLYGATE_QUOTA_STORE_URL: optionalText(),
  TALLYGATE_QUOTA_STORE_PASSWORD_FILE: optionalText(),
  TALLYGATE_QUOTA_STORE_SENTINEL_PASSWORD_FILE: optionalText(),
  TALLYGATE_QUOTA_STORE_CA_FILE: optionalText(),
  /** The start of the URL that takes the requests for tokens of clouds. */
  TALLYGATE_TOKEN_PROXY: httpUrl(),
  /** The Envoy to run. */
  TALLYGATE_ENVOY: optionalText(),
  /** The address of the listeners of Gateways; by default, only this machine can reach them. */
  TALLYGATE_ADDRESS: text('127.0.0.1'),
  TALLYGATE_METRICS_ADDRESS: address(METRICS_ADDRESS),
  /** Whether `tallygate run` serves the console. */
  TALLYGATE_CONSOLE: oneOf(['on', 'off'], 'on'),
  /** Who sees the rows of all tenants in the console, and may stop requests. */
  TALLYGATE_CONSOLE_OPERATORS: consoleOperators,
  /** Worker threads of Envoy. */
  TALLYGATE_CONCURRENCY: wholeNumber(1, 1024, availableParallelism()),
  TALLYGATE_DRAIN_TIMEOUT: wholeNumber(0, 3600, 30),
  OPENAI_API_KEY: optionalText(),
  ANTHROPIC_API_KEY: optionalText(),
  OTEL_SDK_DISABLED: oneOf(['true', 'false'], 'false'),
  /** The collector of traces and metrics; its headers may contain a secret. */
  OTEL_EXPORTER_OTLP_ENDPOINT: optionalText(),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: optionalText(),
  OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: optionalText(),
  OTEL_EXPORTER_OTLP_PROTOCOL: oneOf(OTLP_PROTOCOLS, 'http/protobuf'),
  OTEL_TRACES_EXPORTER: oneOf(['otlp', 'none'], 'otlp'),
  OTEL_METRICS_EXPORTER: oneOf(['otlp', 'none'], 'otlp'),
  /** Milliseconds. */
  OTEL_METRIC_EXPORT_INTERVAL: wholeNumber(100, 3_600_000, 60_000),
  OTEL_METRIC_EXPORT_TIMEOUT: wholeNumber(100, 3_600_000, 30_000),
  OTEL_TRACES_SAMPLER: oneOf(SAMPLERS, 'parentbased_always_on'),
  OTEL_TRACES_SAMPLER_ARG: ratio(1),
  /** The most spans that wait for the collector. */
  OTEL_BSP_MAX_QUEUE_SIZE: wholeNumber(100, 1_000_000, 20_000),
  /** Milliseconds. */
  OTEL_BSP_SCHEDULE_DELAY: wholeNumber(10, 600_000, 1_000),
  OTEL_SEMCONV_STABILITY_OPT_IN: text(''),
  /** Traces that are recorded although the sampler leaves them out. */
  TALLYGATE_TRACES_ALWAYS: listOf([...OUTCOMES, 'none'], OUTCOMES),
  /** Adds the attributes of OpenInference to spans. */
  TALLYGATE_OPENINFERENCE: oneOf(['on', 'off'], 'off'),
  XDG_STATE_HOME: optionalText(),
  /** The parent of the folder for the tokens of `tallygate login`. */
  XDG_CONFIG_HOME: optionalText(),
  /** The parent of the cache of compiled code, which makes the next start faster. */
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

/** Returns `$XDG_STATE_HOME` or its default. */
export function stateHome({ XDG_STATE_HOME, HOME }: Settings, home: string): string {
  // The XDG specification requires that relative paths are ignored.
  return XDG_STATE_HOME?.startsWith('/') ? XDG_STATE_HOME : join(HOME ?? home, '.local/state');
}

/** Returns `$XDG_CONFIG_HOME` or its default. */
export function configHome({ XDG_CONFIG_HOME, HOME }: Settings, home: string): string {
  return XDG_CONFIG_HOME?.startsWith('/') ? XDG_CONFIG_HOME : join(HOME ?? home, '.config');
}
