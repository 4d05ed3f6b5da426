/** What the environment says about where content goes. */
import { type ContentDestination, destinationVariables } from '../contract/content.ts';
import type { GatewayPolicy } from '../contract/policy.ts';
import type { PolicySink } from '../extproc/policy/source.ts';
import { type ContentExport, newContentExport } from '../extproc/telemetry/content/content-export.ts';
import type { S3AccessKey } from '../extproc/telemetry/content/s3-sender.ts';
import { destinationOf } from '../extproc/telemetry/content/target.ts';
import type { Log } from '../runtime/log.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import type { Settings } from './environment.ts';

/** Throws an `OperatorError` where the access key of the bucket is not complete. */
export function openContentExport(settings: Settings, log: Log): ContentExport {
  return newContentExport({
    targets: settings.TALLYGATE_CONTENT_EXPORT,
    headers: settings.TALLYGATE_CONTENT_EXPORT_HEADERS,
    accessKey: accessKeyOf(settings),
    hashesKeys: settings.TALLYGATE_METRIC_KEYS === 'hashed',
    onDestination: (destination, failure) => {
      if (failure === undefined) {
        log.info({ destination }, 'destination accepts content again');
      } else {
        log.warn({ destination, failure }, 'destination does not accept content, it is dropped');
      }
    },
  });
}

/** Returns the destinations of content that the operator has configured. */
export function contentDestinationsOf(settings: Settings, isTraced: boolean): readonly ContentDestination[] {
  return [...settings.TALLYGATE_CONTENT_EXPORT.map(destinationOf), ...(isTraced ? (['Spans'] as const) : [])];
}

/** Returns a sink that warns of content policies whose destination is not configured. */
export function warningSink(sink: PolicySink, configured: readonly ContentDestination[], log: Log): PolicySink {
  let warned: readonly string[] = [];
  const warn = ({ contentPolicies = [] }: GatewayPolicy) => {
    const missing = contentPolicies.flatMap(({ name: policy, destinations }) =>
      destinations
        .filter((each) => !configured.includes(each))
        .map((destination) => ({ policy, destination, variable: destinationVariables[destination] })),
    );
    const nameOf = ({ policy, destination }: (typeof missing)[number]) => `${policy} ${destination}`;
    for (const each of missing.filter((one) => !warned.includes(nameOf(one)))) {
      log.warn(each, 'destination of a content policy is not configured, its content is dropped');
    }
    warned = missing.map(nameOf);
  };
  return {
    async apply(policy, revision) {
      await sink.apply(policy, revision);
      warn(policy);
    },
    get policyVersion() {
      return sink.policyVersion;
    },
    useSharedStore: (config) => sink.useSharedStore(config),
  };
}

/** Returns undefined where the bucket is written with the identity of this process. */
function accessKeyOf(settings: Settings): S3AccessKey | undefined {
  const {
    TALLYGATE_CONTENT_S3_KEY_ID: id,
    TALLYGATE_CONTENT_S3_SECRET_KEY: secret,
    TALLYGATE_CONTENT_S3_SESSION_TOKEN: sessionToken,
  } = settings;
  if (id !== undefined && secret !== undefined) {
    return { id, secret, ...(sessionToken !== undefined && { sessionToken }) };
  }
  if ((id ?? secret ?? sessionToken) !== undefined) {
    throw new OperatorError(
      'the access key for the bucket of content is not complete: set TALLYGATE_CONTENT_S3_KEY_ID and TALLYGATE_CONTENT_S3_SECRET_KEY, or neither',
    );
  }
  return undefined;
}
