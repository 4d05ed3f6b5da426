/** Log records as OpenTelemetry's SDK has them, for OTLP as JSON. */
import { SeverityNumber } from '@opentelemetry/api';
import type { InstrumentationScope } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import { hrTime } from '../otlp-message.ts';
import type { ContentEntry } from './entry.ts';
import { EVENT_NAME, SEVERITY } from './log-message.ts';

export function readableLogRecord(
  { id, timeMs, span, attributes, instructions, input, output }: ContentEntry,
  resource: Resource,
  scope: InstrumentationScope,
): ReadableLogRecord {
  const time = hrTime(timeMs);
  return {
    hrTime: time,
    hrTimeObserved: time,
    eventName: EVENT_NAME,
    severityNumber: SeverityNumber.INFO,
    severityText: SEVERITY,
    ...(span && { spanContext: span }),
    attributes: {
      ...attributes,
      'tallygate.content.id': id,
      ...(instructions && { 'gen_ai.system_instructions': [...instructions] }),
      ...(input && { 'gen_ai.input.messages': input.map((message) => ({ ...message })) }),
      ...(output && { 'gen_ai.output.messages': output.map((message) => ({ ...message })) }),
    },
    resource,
    instrumentationScope: scope,
    droppedAttributesCount: 0,
  };
}
