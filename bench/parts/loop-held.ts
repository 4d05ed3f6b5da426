/**
 * Loaded before a program (`--import`). At SIGUSR2, writes the longest time that the event loop was
 * blocked since the last signal, in milliseconds of processor time, so that other programs of the
 * machine do not count.
 */
import { writeFileSync } from 'node:fs';

const file = process.env['BENCH_LOOP_HELD_FILE'];
if (file !== undefined) {
  const used = () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  let before = used();
  let most = 0;
  setInterval(() => {
    const now = used();
    most = Math.max(most, now - before);
    before = now;
  }, 1).unref();
  process.on('SIGUSR2', () => {
    writeFileSync(file, `${most}\n`);
    most = 0;
  });
}
