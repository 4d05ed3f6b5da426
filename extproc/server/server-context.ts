/** State that all connections of one server share. */

import type { Exchange, ExchangeHandler } from '../exchange.ts';
import type { AccessLogEntry } from './access-log.ts';
import type { BodyBlocks } from './body-blocks.ts';
import type { Limits } from './limits.ts';
import type { LoopSlice } from './loop-slice.ts';

/** Logs with constant messages; variable parts are data. */
export interface ServerLog {
  warn(data: object, message: string): void;
  error(data: object, message: string): void;
}

/** Totals since the start of the server. */
export interface ServerCounters {
  connections: number;
  streams: number;
  /** Ended by a reset of the peer, or with its connection. */
  streamsReset: number;
  /** Reset to stay below `maxUnsentBytes`. */
  streamsEvicted: number;
  /** Ended after a malformed message. */
  streamsMalformed: number;
  /** Exceptions of handlers. */
  handlerErrors: number;
  /** Connections closed after a protocol error of the peer. */
  connectionErrors: number;
  messagesReceived: number;
  messagesSent: number;
  bytesReceived: number;
  bytesSent: number;
}

export interface ServerContext {
  readonly limits: Limits;
  readonly counters: ServerCounters;
  readonly log: ServerLog;
  readonly slice: LoopSlice;
  readonly blocks: BodyBlocks;
  readonly handler: (exchange: Exchange) => ExchangeHandler;
  readonly serving: () => boolean;
  readonly exchangeBroken: (entry: AccessLogEntry) => void;
  openStreams: number;
  unsentBytes: number;
}

export function newCounters(): ServerCounters {
  return {
    connections: 0,
    streams: 0,
    streamsReset: 0,
    streamsEvicted: 0,
    streamsMalformed: 0,
    handlerErrors: 0,
    connectionErrors: 0,
    messagesReceived: 0,
    messagesSent: 0,
    bytesReceived: 0,
    bytesSent: 0,
  };
}
