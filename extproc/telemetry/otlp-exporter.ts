/** Sends messages by the transports of OpenTelemetry, which read their settings themselves. */
import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { OTLPExporterBase } from '@opentelemetry/otlp-exporter-base';
import {
  convertLegacyHttpOptions,
  createOtlpHttpExportDelegate,
  type OTLPExporterNodeConfigBase,
} from '@opentelemetry/otlp-exporter-base/node-http';
import type { IExporterMetricsHelper, ISerializer } from '@opentelemetry/otlp-transformer';
import type { OtlpProtocol } from '../../runtime/otlp-protocols.ts';
import { withRetries } from './grpc-retries.ts';

export interface OtlpSignal {
  /** In the names of environment variables. */
  readonly variable: 'TRACES' | 'LOGS';
  readonly httpPath: string;
  readonly item: 'span' | 'log';
  readonly grpcName: string;
  readonly grpcPath: string;
}

export const traceSignal: OtlpSignal = {
  variable: 'TRACES',
  httpPath: 'v1/traces',
  item: 'span',
  grpcName: 'TraceExportService',
  grpcPath: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
};

export const logSignal: OtlpSignal = {
  variable: 'LOGS',
  httpPath: 'v1/logs',
  item: 'log',
  grpcName: 'LogsExportService',
  grpcPath: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
};

/** Spans or log records that are encoded. */
export interface OtlpBytes {
  readonly bytes: Uint8Array;
  readonly count: number;
}

export interface OtlpSerializer<Message, Response> {
  readonly serialize: (message: Message) => Uint8Array | undefined;
  readonly deserialize: (response: Uint8Array) => Response;
  /** Returns how many items of a message the collector rejects although it accepts the message. */
  readonly rejected: (response: Response) => number | undefined;
  readonly count: (message: Message) => number;
}

export interface OtlpExporter<Message> {
  send(message: Message): Promise<OtlpOutcome>;
}

export interface OtlpOutcome {
  /** Items of the message that the collector did not accept. */
  readonly dropped: number;
  /** Undefined: the collector has accepted the message, perhaps without some items. */
  readonly error: Error | undefined;
}

/** `settings` come before those of the environment. */
export async function newOtlpExporter<Message, Response>(
  signal: OtlpSignal,
  protocol: OtlpProtocol,
  { serialize, deserialize, rejected, count }: OtlpSerializer<Message, Response>,
  settings: OTLPExporterNodeConfigBase = {},
): Promise<OtlpExporter<Message>> {
  let rejections = 0;
  const serializer: ISerializer<Message, Response> = {
    serializeRequest: serialize,
    deserializeResponse(data) {
      const response = deserialize(data);
      rejections = Number(rejected(response) ?? 0);
      return response;
    },
  };
  const helper = { name: signal.item, countItems: count };
  const exporter =
    protocol === 'grpc'
      ? await grpcExporter(signal, serializer, helper, settings)
      : httpExporter(signal, protocol, serializer, helper, settings);
  return {
    send: (message) =>
      new Promise((resolve) => {
        exporter.export(message, (result) => {
          // The response is read in the same turn.
          resolve(outcomeOf(result, count(message), rejections));
          rejections = 0;
        });
      }),
  };
}

function outcomeOf({ code, error }: ExportResult, count: number, rejections: number): OtlpOutcome {
  if (code !== ExportResultCode.SUCCESS) {
    return { dropped: count, error: error ?? new Error('unknown') };
  }
  // The collector chooses the number, and may send none.
  return { dropped: rejections > 0 ? Math.min(rejections, count) : 0, error: undefined };
}

function httpExporter<Message>(
  { variable, httpPath, item }: OtlpSignal,
  protocol: 'http/json' | 'http/protobuf',
  serializer: ISerializer<Message, unknown>,
  helper: IExporterMetricsHelper<Message>,
  settings: OTLPExporterNodeConfigBase,
): Pick<OTLPExporterBase<Message>, 'export'> {
  const contentType = protocol === 'http/json' ? 'application/json' : 'application/x-protobuf';
  const options = convertLegacyHttpOptions(settings, variable, httpPath, { 'Content-Type': contentType });
  const component = `otlp_http_${item}_exporter`;
  return new OTLPExporterBase(createOtlpHttpExportDelegate(options, serializer, component, helper, undefined));
}

async function grpcExporter<Message>(
  { variable, item, grpcName, grpcPath }: OtlpSignal,
  serializer: ISerializer<Message, unknown>,
  helper: IExporterMetricsHelper<Message>,
  { headers, ...settings }: OTLPExporterNodeConfigBase,
): Promise<Pick<OTLPExporterBase<Message>, 'export'>> {
  const [{ convertLegacyOtlpGrpcOptions, createOtlpGrpcExportDelegate }, { Metadata }] = await Promise.all([
    import('@opentelemetry/otlp-grpc-exporter-base'),
    import('@grpc/grpc-js'),
  ]);
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers ?? {})) {
    metadata.set(name, value);
  }
  const options = convertLegacyOtlpGrpcOptions({ ...settings, metadata }, variable);
  const component = `otlp_grpc_${item}_exporter`;
  const delegate = createOtlpGrpcExportDelegate(options, serializer, component, helper, undefined, grpcName, grpcPath);
  return withRetries(new OTLPExporterBase(delegate), options.timeoutMillis);
}
