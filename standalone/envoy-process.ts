/** Envoy as a child: its arguments and what its log lines mean. */
import type { Log } from '../runtime/log.ts';

/** Streams on a listener that an edit replaced may go on so long. */
const LISTENER_DRAIN_SECONDS = 600;

export function envoyArguments(bootstrapPath: string, concurrency: number): readonly string[] {
  return [
    ...['--config-path', bootstrapPath],
    ...['--concurrency', String(concurrency)],
    ...['--drain-time-s', String(LISTENER_DRAIN_SECONDS)],
    // Every answer on a listener that goes says so: clients come back on the new one.
    ...['--drain-strategy', 'immediate'],
    ...['--log-level', 'warning', '--log-format', '%L %n %v'],
    '--disable-hot-restart',
  ];
}

/** With a dead processor Envoy says a line for each request. */
const MAX_LINES_A_SECOND = 10;
const MAX_LINE_CHARACTERS = 2000;

/** Envoy's lines as lines of ours, at a bounded rate. */
export function envoyLog(log: Log, now: () => number): (line: string) => void {
  let second = 0;
  let lines = 0;
  return (line) => {
    const current = Math.floor(now() / 1000);
    if (current !== second) {
      if (lines > MAX_LINES_A_SECOND) {
        log.warn({ suppressed: lines - MAX_LINES_A_SECOND }, 'envoy said more');
      }
      second = current;
      lines = 0;
    }
    lines++;
    if (lines > MAX_LINES_A_SECOND || line.trim() === '') {
      return;
    }
    const [, level, component, text] = /^([TDIWEC]) (\S+) (.*)$/.exec(line) ?? [undefined, 'W', '', line];
    const data = { component, text: text?.slice(0, MAX_LINE_CHARACTERS) };
    if (level === 'E' || level === 'C') {
      log.error(data, 'envoy');
    } else {
      log.warn(data, 'envoy');
    }
  };
}
