/** `tallygate controller`: the control plane in a cluster. */
import { hostname } from 'node:os';
import { type OperatorMatch, operatorsText } from '../console/api/viewer.ts';
import { readSharedStoreUrl } from '../contract/shared-store.ts';
import { type Controller, type ServedConsole, startController } from '../controller/main.ts';
import type { SharedStoreOptions } from '../controller/shared-store.ts';
import { parseAddress } from '../runtime/environment.ts';
import { startHealthServer } from '../runtime/health.ts';
import { createLog } from '../runtime/log.ts';
import { type OpenTelemetry, type OtlpMetrics, startOpenTelemetry } from '../runtime/open-telemetry.ts';
import { aborted, abortOnSignals, runSteps } from '../runtime/shutdown.ts';
import { wrongDestination } from '../translate/link/destinations.ts';
import { otlpMetrics, telemetryService } from './telemetry-settings.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate controller --namespace NAMESPACE [OPTION]…

Watches resources in a cluster, writes objects for Envoy Gateway, and sends policies to the
sidecars. Normally started by the chart; outside a cluster, it uses KUBECONFIG.

  --namespace NAME           the controller's namespace, with its Lease and certificate authority
  --watch-namespaces A,B     watch only these namespaces (all)
  --proxy-namespaces A,B     namespaces where Envoy Gateway runs proxies (envoy-gateway-system)
  --allow-destinations A,B   addresses, CIDR ranges and host names (with their subdomains) that an
                             AIBackend may use although they are refused by default: loopback,
                             link-local and metadata addresses, and other namespaces' Services
  --identity-namespaces A,B  namespaces whose AIBackends may use the controller's own identity in
                             clouds, for credentials without a secret (none)
  --cluster-domain NAME      the DNS suffix of the cluster (cluster.local)
  --quota-store URL          the Redis or Valkey in which all sidecars count quotas together:
                             redis://HOST:PORT, redis+sentinel://HOST:PORT,…/PRIMARY or
                             redis+cluster://HOST:PORT,…, or the same with rediss for TLS
  --quota-store-secret NAME  the Secret in the controller's namespace with the keys password and, if
                             the store needs them, username, sentinelPassword and ca.crt
  --quota-store-namespaces A,B
                             the namespaces whose proxies get the password of the store; whoever can
                             create pods there can read it (those of --proxy-namespaces)
  --guardrail-secret-namespaces A,B
                             the namespaces whose proxies get the secrets for services of guardrails
                             from all namespaces; others get those of their own namespace only
                             (those of --proxy-namespaces)
  --listen HOST:PORT         address of the policy push for sidecars (0.0.0.0:9443)
  --console HOST:PORT        address of the console of all gateways (none); put TLS before it
  --console-policies A,B     NAMESPACE/NAME of the AIAccessPolicies that tell the console who a
                             caller is; whoever can change one of them can see the rows of all
                             tenants. TALLYGATE_CONSOLE_OPERATORS names the operators.
  --metrics ADDRESS          HOST:PORT or unix:PATH of /metrics, /healthz and /readyz
                             (127.0.0.1:9464, TALLYGATE_METRICS_ADDRESS)
`;

const options = {
  namespace: { type: 'string' },
  'watch-namespaces': { type: 'string', default: '' },
  'proxy-namespaces': { type: 'string', default: 'envoy-gateway-system' },
  'allow-destinations': { type: 'string', default: '' },
  'identity-namespaces': { type: 'string', default: '' },
  'cluster-domain': { type: 'string', default: 'cluster.local' },
  'quota-store': { type: 'string' },
  'quota-store-secret': { type: 'string' },
  'quota-store-namespaces': { type: 'string' },
  'guardrail-secret-namespaces': { type: 'string' },
  listen: { type: 'string', default: '0.0.0.0:9443' },
  console: { type: 'string' },
  'console-policies': { type: 'string', default: '' },
  metrics: { type: 'string' },
} as const;

export const controller: Verb = async ({ args, settings }) => {
  const parsed = readOptions('controller', args, options, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { namespace, listen: listenText, metrics } = parsed.values;
  const listen = parseAddress(listenText);
  const metricsAddress = metrics === undefined ? settings.TALLYGATE_METRICS_ADDRESS : parseAddress(metrics);
  if (!namespace) {
    return wrongUse('controller', '--namespace is missing', usage);
  }
  if (listen?.type !== 'tcp') {
    return wrongUse('controller', '--listen must be HOST:PORT', usage);
  }
  const allowedDestinations = names(parsed.values['allow-destinations']);
  const wrong = allowedDestinations.map(wrongDestination).find((each) => each !== undefined);
  if (wrong !== undefined) {
    return wrongUse('controller', `--allow-destinations: ${wrong}`, usage);
  }
  if (metricsAddress === undefined) {
    return wrongUse('controller', '--metrics must be HOST:PORT or unix:PATH', usage);
  }

  const sharedStore = sharedStoreOptions(parsed.values);
  if (typeof sharedStore === 'string') {
    return wrongUse('controller', sharedStore, usage);
  }

  const console = consoleOptions(parsed.values, settings.TALLYGATE_CONSOLE_OPERATORS);
  if (typeof console === 'string') {
    return wrongUse('controller', console, usage);
  }

  const log = createLog({ level: settings.TALLYGATE_LOG_LEVEL, keys: { process: 'controller' } });
  const { signal } = abortOnSignals(() => process.exit(1));
  const service = await startController({
    namespace,
    // The pod's name alone is not enough: a restarted process is another replica.
    identity: `${hostname()}_${process.pid}_${Date.now().toString(36)}`,
    watchNamespaces: names(parsed.values['watch-namespaces']),
    proxyNamespaces: names(parsed.values['proxy-namespaces']),
    secretNamespaces: names(parsed.values['guardrail-secret-namespaces'] ?? parsed.values['proxy-namespaces']),
    reach: { clusterDomain: parsed.values['cluster-domain'], allowedDestinations },
    identityNamespaces: names(parsed.values['identity-namespaces']),
    exchange: { environment: process.env, proxy: settings.TALLYGATE_TOKEN_PROXY },
    sharedStore,
    listen,
    console,
    log,
  });
  const telemetry = await startTelemetry(service, otlpMetrics(settings, telemetryService('tallygate-controller')));
  const health = await startHealthServer({
    address: metricsAddress,
    readiness: () => {
      const missing = service.missing();
      return {
        ready: missing.length === 0 && !signal.aborted,
        details: { leading: service.leading, ...(missing.length > 0 && { missing: missing.slice(0, 10).join(', ') }) },
      };
    },
    metrics: (format) => telemetry.prometheusText(format),
  });
  await aborted(signal);
  const clean = await runSteps(
    [
      { name: 'controller', deadlineMs: 10_000, run: service.close },
      { name: 'health server', deadlineMs: 1000, run: health.close },
      { name: 'telemetry', deadlineMs: 3000, run: () => telemetry.shutdown(2000) },
    ],
    log,
  );
  await log.flush();
  process.exit(clean ? 0 : 1);
};

async function startTelemetry(service: Controller, otlp: OtlpMetrics | undefined): Promise<OpenTelemetry> {
  const telemetry = await startOpenTelemetry({ serviceName: 'tallygate-controller', otlp, tables: [] });
  const meter = telemetry.meterProvider.getMeter('tallygate');
  const counter = (name: string, description: string, value: () => number) =>
    meter.createObservableCounter(name, { description }).addCallback((result) => result.observe(value()));
  counter('tallygate.controller.runs', 'Runs that compared and wrote all objects.', () => service.counts.runs);
  counter('tallygate.controller.writes', 'Objects written or removed.', () => service.counts.writes);
  counter('tallygate.controller.status_writes', 'Statuses written.', () => service.counts.statusWrites);
  const gauge = (name: string, description: string, value: () => number) =>
    meter.createObservableGauge(name, { description }).addCallback((result) => result.observe(value()));
  gauge('tallygate.controller.leading', '1 in the leading replica, otherwise 0.', () => Number(service.leading));
  gauge('tallygate.issuers', 'Issuers whose keys are fetched.', () => service.issuerKeys.sources);
  gauge('tallygate.issuers.failing', 'Issuers whose keys could not be fetched.', () => service.issuerKeys.failing);
  gauge('tallygate.cloud.tokens', 'Backends whose credential is a token of a cloud.', () => service.tokens.wanted);
  gauge('tallygate.cloud.tokens.failing', 'Tokens whose last fetch failed.', () => service.tokens.failing);
  gauge('tallygate.cloud.tokens.missing', 'Backends without a valid token.', () => service.tokens.missing);
  counter('tallygate.alert.events.sent', 'Events about budgets that webhooks accepted.', () => service.alerts.sent);
  counter('tallygate.alert.events.dropped', 'Events that were given up.', () => service.alerts.dropped);
  gauge('tallygate.alert.events.pending', 'Events that no webhook has accepted yet.', () => service.alerts.pending);
  gauge('tallygate.alert.webhooks.failing', 'Webhooks whose last attempt failed.', () => service.alerts.failing);
  gauge(
    'tallygate.controller.sidecars_without_store',
    'Sidecars that do not reach the shared quota store.',
    () => service.sidecarsWithoutStore,
  );
  const gaugeBy = (name: string, label: string, description: string, values: () => ReadonlyMap<string, number>) =>
    meter.createObservableGauge(name, { description, unit: 's' }).addCallback((result) => {
      for (const [key, value] of values()) {
        result.observe(value, { [label]: key });
      }
    });
  gaugeBy(
    'tallygate.controller.policy_lag',
    'tallygate.gateway',
    'How long a sidecar of a Gateway has not acknowledged the newest policy; 0 if all have.',
    () => service.policyLags(),
  );
  gaugeBy(
    'tallygate.certificate.expires_at',
    'tallygate.certificate',
    'Unix time at which a certificate expires.',
    () => service.certificateExpiries(),
  );
  return telemetry;
}

interface SharedStoreFlags {
  readonly 'quota-store'?: string | undefined;
  readonly 'quota-store-secret'?: string | undefined;
  readonly 'quota-store-namespaces'?: string | undefined;
  readonly 'proxy-namespaces': string;
}

/** Returns a text if the options are wrong. */
function sharedStoreOptions({
  'quota-store': url,
  'quota-store-secret': secretName,
  'quota-store-namespaces': namespaces,
  'proxy-namespaces': proxyNamespaces,
}: SharedStoreFlags): SharedStoreOptions | string | undefined {
  if (url === undefined) {
    return secretName === undefined ? undefined : '--quota-store-secret requires --quota-store';
  }
  const config = readSharedStoreUrl(url);
  return 'problem' in config
    ? `--quota-store ${config.problem}`
    : { config, secretName, namespaces: names(namespaces ?? proxyNamespaces) };
}

/** Returns a text if the options are wrong. */
function consoleOptions(
  flags: { readonly console?: string | undefined; readonly 'console-policies': string },
  operators: readonly OperatorMatch[],
): ServedConsole | string | undefined {
  const accessPolicies = names(flags['console-policies']);
  if (flags.console === undefined) {
    return accessPolicies.length === 0 ? undefined : '--console-policies requires --console';
  }
  const address = parseAddress(flags.console);
  if (address?.type !== 'tcp') {
    return '--console must be HOST:PORT';
  }
  if (accessPolicies.length === 0 || !accessPolicies.every((name) => /^[^/]+\/[^/]+$/.test(name))) {
    return '--console requires --console-policies with NAMESPACE/NAME of AIAccessPolicies';
  }
  return { address, podName: hostname(), accessPolicies, operators: operatorsText(operators) };
}

function names(list: string): readonly string[] {
  return list.split(',').filter((name) => name !== '');
}
