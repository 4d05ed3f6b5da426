/** Loaded before a program (`--import`): at SIGUSR2 it writes for how long the event loop was held at most since the last time, in milliseconds. */
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const file = process.env['BENCH_LOOP_DELAY_FILE'];
if (file !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  process.on('SIGUSR2', () => {
    writeFileSync(file, `${delay.max / 1e6}\n`);
    delay.reset();
  });
}
