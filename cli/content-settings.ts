/** What the environment says about where content goes. */
import { type ContentExport, newContentExport } from '../extproc/telemetry/content/content-export.ts';
import type { Log } from '../runtime/log.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import type { Settings } from './environment.ts';

/** Throws an `OperatorError` where a bucket has no credentials. */
export function openContentExport(settings: Settings, log: Log): ContentExport {
  const targets = settings.TALLYGATE_CONTENT_EXPORT;
  const { TALLYGATE_CONTENT_S3_KEY_ID: id, TALLYGATE_CONTENT_S3_SECRET_KEY: secret } = settings;
  const credentials = id === undefined || secret === undefined ? undefined : { id, secret };
  if (credentials === undefined && targets.some(({ type }) => type === 's3')) {
    throw new OperatorError(
      'TALLYGATE_CONTENT_EXPORT names a bucket without credentials: set TALLYGATE_CONTENT_S3_KEY_ID and TALLYGATE_CONTENT_S3_SECRET_KEY, or remove the bucket',
    );
  }
  return newContentExport({
    targets,
    headers: settings.TALLYGATE_CONTENT_EXPORT_HEADERS,
    credentials,
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
