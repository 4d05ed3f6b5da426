/**
 * A collector as a program in a pod. Port 8080 receives OTLP over HTTP with JSON; on port 8081, GET
 * returns where the spans stand in their traces.
 */
import http from 'node:http';
import { startCollector } from '../../data-plane/support/collector.ts';

const { spans } = await startCollector({ port: 8080, host: '0.0.0.0' });

http
  .createServer((_, response) => {
    const shown = spans.map(({ name, service, traceId, spanId, parentSpanId }) => ({
      name,
      service,
      traceId,
      spanId,
      parentSpanId,
    }));
    response.end(JSON.stringify(shown));
  })
  .listen(8081, '0.0.0.0');

process.on('SIGTERM', () => process.exit(0));
