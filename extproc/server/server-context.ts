/** What all connections of one server have in common. */

import type { Exchange, ExchangeHandler } from '../exchange.ts';
import type { AccessLogEntry } from './access-log.ts';
import type { Limits } from './limits.ts';
import type { LoopSlice } from './loop-slice.ts';

/** Constant message, variable parts as data. */
export interface ServerLog {
  warn(data: object, message: string): void;
  error(data: object, message: string): void;
}

/** Since the start of the server; for telemetry. */
export interface ServerCounters {
  connections: number;
  streams: number;
  /** Ended by the peer with a reset, or with its connection. */
  streamsReset: number;
  /** Reset by us to keep below the bound of unsent bytes. */
  streamsEvicted: number;
  /** Ended by us because of malformed messages. */
  streamsMalformed: number;
  /** Ended by us because their handler threw. */
  handlerErrors: number;
  /** Connections closed because the peer broke the protocol. */
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
