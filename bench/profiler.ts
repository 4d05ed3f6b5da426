/**
 * Loaded into the processor (`--import`): SIGUSR2 starts a CPU profile, and the next one writes it
 * to the folder that the URL of this file names, so that the profile covers only the load.
 */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import path from 'node:path';
import { isMainThread } from 'node:worker_threads';

const INTERVAL_US = 250;

const folder = new URL(import.meta.url).searchParams.get('folder');
let session: Session | undefined;

function start(): void {
  session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.setSamplingInterval', { interval: INTERVAL_US });
  session.post('Profiler.start');
}

function stop(profiled: Session, to: string): void {
  profiled.post('Profiler.stop', (error, result) => {
    writeFileSync(path.join(to, `${process.pid}.cpuprofile`), JSON.stringify(error ?? result.profile));
    profiled.disconnect();
  });
}

if (isMainThread && folder !== null) {
  process.on('SIGUSR2', () => (session === undefined ? start() : stop(session, folder)));
}
