/**
 * Exports usage as CloudEvents 1.0 over HTTP, in the batch mode of its JSON format
 * (https://github.com/cloudevents/spec).
 */
import { errorMessage } from '../../../runtime/error-message.ts';
import { type ExportedUsage, resultOf, SEND_TIMEOUT_MS, type UsageSender } from './sender.ts';
import type { ExportHeaders } from './target.ts';

const EVENT_TYPE = 'dev.tallygate.usage.v1';

export function cloudEventsSender(
  url: string,
  headers: ExportHeaders,
  source: string,
  timeoutMs: number = SEND_TIMEOUT_MS,
): UsageSender {
  return {
    async send(records, signal) {
      try {
        const response = await fetch(url, {
          method: 'POST',
          headers: { ...headers, 'content-type': 'application/cloudevents-batch+json; charset=utf-8' },
          body: JSON.stringify(records.map((record) => cloudEvent(record, source))),
          redirect: 'error',
          signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
        });
        await response.body?.cancel();
        return response.ok ? { type: 'accepted' } : resultOf(response.status);
      } catch (error) {
        const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
        return { type: 'failed', reason: errorMessage(cause) };
      }
    },
  };
}

function cloudEvent({ id, request }: ExportedUsage, source: string): object {
  return {
    specversion: '1.0',
    id,
    source: `/tallygate/${source}`,
    type: EVENT_TYPE,
    time: request.time,
    ...(request.requestId !== undefined && { subject: request.requestId }),
    datacontenttype: 'application/json',
    data: request,
  };
}
