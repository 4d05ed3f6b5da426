import assert from 'node:assert/strict';
import { test } from 'node:test';
import { observeProcess, watchLoopDelay } from './loop-delay.ts';
import { startOpenTelemetry } from './open-telemetry.ts';

test('metrics of the process come out as Prometheus text, and a held event loop shows', async () => {
  const telemetry = startOpenTelemetry({ serviceName: 'test', otlp: false, producers: [] });
  const meter = telemetry.meterProvider.getMeter('test');
  const loopDelay = watchLoopDelay();
  observeProcess(meter, loopDelay);
  meter.createCounter('things').add(3, { kind: 'a' });
  // The delay is seen by the timer that comes after the hold.
  await new Promise((resolve) => setTimeout(resolve, 30));
  const end = performance.now() + 80;
  while (performance.now() < end);
  await new Promise((resolve) => setTimeout(resolve, 30));
  const text = await telemetry.prometheusText();
  assert.match(text, /^things_total\{kind="a"\} 3$/m);
  const held = Number(/^nodejs_eventloop_delay\{statistic="max"\} ([\d.e-]+)$/m.exec(text)?.[1]);
  assert.ok(held > 0.05, `held ${held}`);
  assert.match(text, /^process_memory_usage \d{7,}$/m);
  loopDelay.close();
  await telemetry.shutdown();
});
