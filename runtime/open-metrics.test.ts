import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newMetricTable } from './metric-table.ts';
import { startOpenTelemetry } from './open-telemetry.ts';

test('OpenMetrics has exemplars at the buckets of histograms', async () => {
  const table = newMetricTable(0);
  const size = table.histogram({ name: 'http.size', unit: 'By', description: 'A "size"' }, [0.5, 100]);
  const cell = size.cell({ kind: 'a"b\\c' });
  const span = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', timeMs: 1500 };
  cell.record(0.2);
  cell.record(7, { ...span, spanId: 'earlier' });
  cell.record(8, span);
  cell.record(1000);
  table.histogram({ name: 'drift', unit: '%', description: 'Drift' }, [-1, 1]).cell({}).record(-2);
  table.sum({ name: 'things', unit: '{thing}', description: 'Things' }).cell({}).value += 3;
  table.gauge({ name: 'now', unit: '1', description: 'Now' }, () => [{ attributes: {}, value: Number.NaN }]);
  const telemetry = await startOpenTelemetry({ serviceName: 'test', otlp: undefined, tables: [table] });
  const labels = 'kind="a\\"b\\\\c"';
  assert.equal(
    await telemetry.prometheusText('openmetrics'),
    `# TYPE http_size histogram
# HELP http_size A \\"size\\"
http_size_bucket{${labels},le="0.5"} 1
http_size_bucket{${labels},le="100.0"} 3 # {trace_id="${span.traceId}",span_id="${span.spanId}"} 8 1.500
http_size_bucket{${labels},le="+Inf"} 4
http_size_count{${labels}} 4
http_size_sum{${labels}} 1015.2
# TYPE drift histogram
# HELP drift Drift
drift_bucket{le="-1.0"} 1
drift_bucket{le="1.0"} 1
drift_bucket{le="+Inf"} 1
drift_count 1
# TYPE things counter
# HELP things Things
things_total 3
# TYPE now gauge
# HELP now Now
now NaN
# EOF
`,
  );
  await telemetry.shutdown(1000);
});
