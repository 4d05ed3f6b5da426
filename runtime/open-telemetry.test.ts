import assert from 'node:assert/strict';
import { test } from 'node:test';
import { observeProcess, watchLoopDelay } from './loop-delay.ts';
import { newMetricTable } from './metric-table.ts';
import { startOpenTelemetry } from './open-telemetry.ts';

test('Prometheus text has the metrics of the process, with the delay of the event loop', async () => {
  const table = newMetricTable(Date.now());
  const size = table.histogram({ name: 'size', unit: 'By', description: 'Sizes' }, [10, 100]);
  const cells = Array.from({ length: 100 }, (_, i) => size.cell({ i: `n${i}` }));
  for (const value of [10, 11, 1000]) {
    cells[99]!.record(value);
  }
  table.gauge({ name: 'now', unit: '', description: 'Now' }, () => [{ attributes: { a: '"' }, value: 7 }]);
  const telemetry = await startOpenTelemetry({ serviceName: 'test', otlp: undefined, tables: [table] });
  const meter = telemetry.meterProvider.getMeter('test');
  const loopDelay = watchLoopDelay();
  observeProcess(meter, loopDelay);
  meter.createCounter('things').add(3, { kind: 'a' });
  // The delay is seen by the timer that comes after the hold.
  await new Promise((resolve) => setTimeout(resolve, 30));
  const end = performance.now() + 80;
  while (performance.now() < end) {}
  await new Promise((resolve) => setTimeout(resolve, 30));
  const text = await telemetry.prometheusText();
  assert.match(text, /^things_total\{kind="a"\} 3$/m);
  const held = Number(/^nodejs_eventloop_delay\{statistic="max"\} ([\d.e-]+)$/m.exec(text)?.[1]);
  assert.ok(held > 0.05, `held ${held}`);
  assert.match(text, /^process_memory_usage \d{7,}$/m);
  // More points than one slice holds: the comments stand once, and no point is lost.
  assert.equal(text.match(/^# TYPE size histogram$/gm)?.length, 1);
  assert.equal(text.match(/^size_count\{/gm)?.length, 100);
  assert.match(text, /^size_bucket\{i="n99",le="10"\} 1$/m);
  assert.match(text, /^size_bucket\{i="n99",le="100"\} 2$/m);
  assert.match(text, /^size_bucket\{i="n99",le="\+Inf"\} 3$/m);
  assert.match(text, /^size_sum\{i="n99"\} 1021$/m);
  assert.match(text, /^now\{a="\\""\} 7$/m);
  loopDelay.close();
  await telemetry.shutdown(1000);
});
