/** Logs of a process: JSON lines with a constant message and data as keys. Secrets and contents of requests are never passed in. */
import { type DestinationStream, pino } from 'pino';
import { escapeControls } from './json-text.ts';
import { openOutput } from './output.ts';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/** The part of pino that the rooms use: data first, then the constant message. */
export interface Log {
  trace(data: object, message: string): void;
  debug(data: object, message: string): void;
  info(data: object, message: string): void;
  warn(data: object, message: string): void;
  error(data: object, message: string): void;
  fatal(data: object, message: string): void;
  child(keys: Readonly<Record<string, string | number>>): Log;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** Written on every line. */
  readonly keys?: Readonly<Record<string, string | number>>;
  /** 2, stderr, by default: stdout belongs to what the program produces. */
  readonly fd?: number;
  /** In place of `fd`, for tests. */
  readonly destination?: DestinationStream;
}

/** A reader that does not read must not hold the process: past this, lines are dropped. */
const MAX_UNWRITTEN_BYTES = 4 * 1024 * 1024;

export interface ProcessLog extends Log {
  /** Waits shortly for what is not written yet: the last call before the process ends. */
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
      serializers: { error: pino.stdSerializers.err },
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
