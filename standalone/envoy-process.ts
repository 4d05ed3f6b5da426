/** Envoy as a child process: its arguments and its log lines. */
import type { Log } from '../runtime/log.ts';

/** How long streams continue on a listener that an edit has replaced. */
const LISTENER_DRAIN_SECONDS = 600;

export function envoyArguments(bootstrapPath: string, concurrency: number): readonly string[] {
  return [
    '--config-path',
    bootstrapPath,
    '--concurrency',
    String(concurrency),
    '--drain-time-s',
    String(LISTENER_DRAIN_SECONDS),
    // Each response of a draining listener asks the client to reconnect, which reaches the new one.
    '--drain-strategy',
    'immediate',
    '--log-level',
    'warning',
    '--log-format',
    '%L %n %v',
    '--disable-hot-restart',
  ];
}

/** Without extproc, Envoy logs a line per request. */
const MAX_LINES_PER_SECOND = 10;
const MAX_LINE_CHARACTERS = 2000;
/** Envoy quotes the token in a cookie that is not encrypted, or by a secret that was replaced. */
const QUOTED_TOKEN = /(failed to decrypt token: )[^\s,]*/;

/** Returns a function that writes Envoy's lines to the log, at a bounded rate. */
export function envoyLog(log: Log, now: () => number): (line: string) => void {
  let second = 0;
  let lines = 0;
  return (line) => {
    const current = Math.floor(now() / 1000);
    if (current !== second) {
      if (lines > MAX_LINES_PER_SECOND) {
        log.warn({ suppressed: lines - MAX_LINES_PER_SECOND }, 'suppressed envoy log lines');
      }
      second = current;
      lines = 0;
    }
    lines++;
    if (lines > MAX_LINES_PER_SECOND || line.trim() === '') {
      return;
    }
    const [, level, component, text] = /^([TDIWEC]) (\S+) (.*)$/.exec(line) ?? [undefined, 'W', '', line];
    const data = { component, text: text?.replace(QUOTED_TOKEN, '$1…').slice(0, MAX_LINE_CHARACTERS) };
    if (level === 'E' || level === 'C') {
      log.error(data, 'envoy');
    } else {
      log.warn(data, 'envoy');
    }
  };
}
