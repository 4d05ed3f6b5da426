/**
 * The log of a process: JSON lines with a constant message and data as keys. Never pass secrets or
 * request contents.
 */
import { type DestinationStream, pino } from 'pino';
import { escapeControls } from './json-text.ts';
import { openOutput } from './output.ts';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/** Methods take data, then a constant message in lower case. The key of an error is `err`. */
export interface Log {
  debug(data: object, message: string): void;
  info(data: object, message: string): void;
  warn(data: object, message: string): void;
  error(data: object, message: string): void;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** Keys of every line. */
  readonly keys?: Readonly<Record<string, string | number>>;
  /** Default: 2, stderr, because stdout carries the output of the program. */
  readonly fd?: number;
  /** Replaces `fd` in tests. */
  readonly destination?: DestinationStream;
}

/** Unread bytes past which lines are dropped, so that a stuck reader does not block the process. */
const MAX_UNWRITTEN_BYTES = 4 * 1024 * 1024;

export interface ProcessLog extends Log {
  fatal(data: object, message: string): void;
  /** Waits briefly for unwritten lines. The last call before the process ends. */
  flush(): Promise<void>;
}

const FLUSH_DEADLINE_MS = 500;

export function createLog({ level, keys = {}, fd = 2, destination }: LogOptions): ProcessLog {
  const output = destination ? undefined : openOutput(fd, MAX_UNWRITTEN_BYTES);
  const logger = pino(
    {
      level,
      base: { ...keys },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    {
      write(line) {
        const text = escapeControls(line);
        if (destination === undefined) {
          output?.write(Buffer.from(text));
        } else {
          destination.write(text);
        }
      },
    },
  );
  return Object.assign(logger, { flush: async () => output?.close(FLUSH_DEADLINE_MS) });
}
