/**
 * Interprets the peer's frames (RFC 9113): opens and ends streams, keeps the receive windows,
 * answers SETTINGS and PING.
 */

import { IntegerTable } from '../../runtime/integer-table.ts';
import { AccessLogStream } from './access-log.ts';
import type { FrameSink } from './frame-reader.ts';
import * as h2 from './frames.ts';
import { HeaderDecoder } from './hpack.ts';
import { MAX_CONTINUATIONS } from './limits.ts';
import type { StreamHost } from './outbound.ts';
import { MalformedMessage } from './protobuf.ts';
import { INVALID_ARGUMENT, RESPONSE_AND_TRAILERS_OK, trailers, UNIMPLEMENTED } from './static-frames.ts';
import { Stream } from './stream.ts';

const PROCESS_PATH = '/envoy.service.ext_proc.v3.ExternalProcessor/Process';
const ACCESS_LOG_PATH = '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs';
const HEALTH_PATH = '/grpc.health.v1.Health/Check';
/**
 * Open health checks per connection. A check is over in one round trip, so more at once are none.
 */
const MAX_HEALTH_CHECKS = 100;
/** Envoy opens one access log stream per worker. */
const MAX_ACCESS_LOGS = 128;

/** The parts of the connection that frames change. */
export interface ProtocolHost extends StreamHost {
  initialSendWindowBytes: number;
  owesTableSizeUpdate: boolean;
  /** Marks a stream as possibly able to send; without an argument, all streams. */
  wake(stream?: Stream): void;
  pingAcknowledged(): void;
  respondToHealthCheck(streamId: number): void;
}

export class Protocol implements FrameSink {
  readonly streams = new IntegerTable<Stream>();
  lastStreamId = 0;
  readonly #host: ProtocolHost;
  readonly #decoder = new HeaderDecoder();
  #receiveWindowBytes: number;
  #sawSettings = false;
  /** The stream of the current DATA frame; undefined if it is gone. */
  #current: Stream | undefined;
  #currentId = 0;
  /** An incomplete header block that continues in CONTINUATION frames, and its stream. */
  #block: Buffer[] = [];
  #blockBytes = 0;
  #blockStreamId = 0;
  #blockEndsStream = false;
  /** Health checks whose request has not ended. */
  readonly #healthChecks = new Set<number>();
  /** Access log streams never end by themselves, so a drain does not wait for them. */
  readonly #accessLogs = new Map<number, AccessLogStream>();

  constructor(host: ProtocolHost) {
    this.#host = host;
    this.#receiveWindowBytes = host.context.limits.connectionWindowBytes;
  }

  get paused(): boolean {
    return this.#host.paused;
  }

  frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (!this.#sawSettings && type !== h2.SETTINGS) {
      throw protocolError('expected SETTINGS first');
    }
    if (this.#blockStreamId !== 0 && type !== h2.CONTINUATION) {
      throw protocolError('incomplete header block');
    }
    switch (type) {
      case h2.HEADERS:
        this.#headersFrame(flags, streamId, bytes, start, end);
        break;
      case h2.CONTINUATION:
        this.#continuationFrame(flags, streamId, bytes, start, end);
        break;
      case h2.WINDOW_UPDATE:
        this.#windowUpdate(streamId, bytes, start, end);
        break;
      case h2.RST_STREAM:
        expectLength(end - start, 4);
        this.#expectNotIdle(streamId);
        this.#healthChecks.delete(streamId);
        this.#accessLogs.delete(streamId);
        this.streams.get(streamId)?.abandon();
        break;
      case h2.SETTINGS:
        this.#settings(flags, streamId, bytes, start, end);
        break;
      case h2.PING:
        this.#ping(flags, streamId, bytes, start, end);
        break;
      case h2.PUSH_PROMISE:
        throw protocolError('PUSH_PROMISE from a client');
      default:
      // PRIORITY and GOAWAY change nothing for a server, and unknown types must be ignored.
    }
  }

  dataBegin(streamId: number, length: number): void {
    if (this.#blockStreamId !== 0 || !this.#sawSettings) {
      throw protocolError('unexpected DATA');
    }
    this.#receiveWindowBytes -= length;
    if (this.#receiveWindowBytes < 0) {
      throw new h2.ConnectionError(h2.FLOW_CONTROL_ERROR, 'connection window exceeded');
    }
    const { connectionWindowBytes } = this.#host.context.limits;
    if (this.#receiveWindowBytes * 2 < connectionWindowBytes) {
      this.#write(h2.WINDOW_UPDATE, 0, connectionWindowBytes - this.#receiveWindowBytes);
      this.#receiveWindowBytes = connectionWindowBytes;
    }
    if (this.#current?.id !== streamId) {
      this.#current = this.streams.get(streamId);
    }
    this.#currentId = streamId;
    if (this.#current === undefined) {
      this.#expectNotIdle(streamId);
      if (length > 0 && this.#accessLogs.has(streamId)) {
        this.#write(h2.WINDOW_UPDATE, streamId, length);
      }
    } else if (!this.#current.spendReceiveWindow(length)) {
      this.#current.reset(h2.FLOW_CONTROL_ERROR);
    }
  }

  dataPart(bytes: Buffer, start: number, end: number): number {
    if (this.#current !== undefined) {
      return this.#current.receive(bytes, start, end);
    }
    if (this.#accessLogs.size > 0) {
      this.#receiveLog(bytes, start, end);
    }
    return end;
  }

  #receiveLog(bytes: Buffer, start: number, end: number): void {
    const streamId = this.#currentId;
    try {
      this.#accessLogs.get(streamId)?.receive(bytes, start, end);
    } catch (error) {
      if (!(error instanceof MalformedMessage)) {
        throw error;
      }
      this.#accessLogs.delete(streamId);
      this.#host.context.log.warn({ streamId, reason: error.message }, 'malformed access log');
      this.#host.headers(trailers(INVALID_ARGUMENT, 'malformed', true), streamId);
      this.#write(h2.RST_STREAM, streamId, h2.NO_ERROR);
    }
  }

  dataEnd(flags: number): void {
    const current = this.#current;
    if ((flags & h2.END_STREAM) !== 0) {
      this.#endOfRequest(current, this.#currentId);
    } else {
      current?.sendCredit();
    }
  }

  /** Removes a stream. Frames that still arrive for it are dropped. */
  removeStream(stream: Stream): boolean {
    if (this.#current === stream) {
      this.#current = undefined;
    }
    return this.streams.delete(stream);
  }

  #endOfRequest(stream: Stream | undefined, streamId: number): void {
    stream?.endRemote();
    if (this.#healthChecks.delete(streamId)) {
      this.#host.respondToHealthCheck(streamId);
    }
    if (this.#accessLogs.delete(streamId)) {
      this.#host.headers(RESPONSE_AND_TRAILERS_OK, streamId);
    }
  }

  #headersFrame(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    let at = start;
    let stop = end;
    if ((flags & h2.PADDED) !== 0) {
      if (at >= stop) {
        throw protocolError('padding exceeds the frame');
      }
      stop -= bytes[at++]!;
    }
    if ((flags & h2.HAS_PRIORITY) !== 0) {
      at += 5;
    }
    if (at > stop) {
      throw protocolError('padding exceeds the frame');
    }
    if (streamId % 2 === 0) {
      throw protocolError('invalid stream id');
    }
    this.#blockEndsStream = (flags & h2.END_STREAM) !== 0;
    if ((flags & h2.END_HEADERS) !== 0) {
      this.#headerBlock(streamId, bytes, at, stop);
    } else {
      this.#blockStreamId = streamId;
      this.#keepBlock(bytes, at, stop);
    }
  }

  #continuationFrame(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId === 0 || streamId !== this.#blockStreamId) {
      throw protocolError('unexpected CONTINUATION');
    }
    this.#keepBlock(bytes, start, end);
    if ((flags & h2.END_HEADERS) === 0) {
      return;
    }
    const block = Buffer.concat(this.#block);
    this.#block = [];
    this.#blockBytes = 0;
    this.#blockStreamId = 0;
    this.#headerBlock(streamId, block, 0, block.length);
  }

  #keepBlock(bytes: Buffer, start: number, end: number): void {
    this.#blockBytes += end - start;
    if (this.#blockBytes > this.#host.context.limits.maxHeaderBlockBytes || this.#block.length >= MAX_CONTINUATIONS) {
      throw new h2.ConnectionError(h2.ENHANCE_YOUR_CALM, 'header block too large');
    }
    this.#block.push(Buffer.from(bytes.subarray(start, end)));
  }

  /** Decodes the block in any case: the dynamic table may depend on it. */
  #headerBlock(streamId: number, bytes: Buffer, start: number, end: number): void {
    const path = this.#decoder.readPath(bytes, start, end);
    const ended = this.#blockEndsStream;
    if (streamId <= this.lastStreamId) {
      // Trailers, or a late frame of a stream that is gone.
      if (ended) {
        this.#endOfRequest(this.streams.get(streamId), streamId);
      } else {
        this.streams.get(streamId)?.reset(h2.PROTOCOL_ERROR);
      }
      return;
    }
    this.lastStreamId = streamId;
    if (path === PROCESS_PATH) {
      this.#openStream(streamId, ended);
    } else if (path === HEALTH_PATH) {
      this.#openHealthCheck(streamId, ended);
    } else if (path === ACCESS_LOG_PATH) {
      this.#openAccessLog(streamId, ended);
    } else {
      this.#host.headers(trailers(UNIMPLEMENTED, 'unknown method', true), streamId);
      if (!ended) {
        this.#write(h2.RST_STREAM, streamId, h2.NO_ERROR);
      }
    }
  }

  #openStream(streamId: number, ended: boolean): void {
    const { context } = this.#host;
    if (this.streams.size >= context.limits.maxConcurrentStreams) {
      this.#write(h2.RST_STREAM, streamId, h2.REFUSED_STREAM);
      return;
    }
    const stream = new Stream(streamId, this.#host, this.#decoder.traceParent);
    this.streams.add(stream);
    context.openStreams++;
    context.counters.streams++;
    context.slice.begin();
    context.slice.spend(0);
    stream.open();
    if (ended) {
      stream.endRemote();
    }
  }

  #openHealthCheck(streamId: number, ended: boolean): void {
    if (ended) {
      this.#host.respondToHealthCheck(streamId);
    } else if (this.#healthChecks.size >= MAX_HEALTH_CHECKS) {
      this.#write(h2.RST_STREAM, streamId, h2.REFUSED_STREAM);
    } else {
      this.#healthChecks.add(streamId);
    }
  }

  #openAccessLog(streamId: number, ended: boolean): void {
    const { exchangeBroken } = this.#host.context;
    if (ended) {
      this.#host.headers(RESPONSE_AND_TRAILERS_OK, streamId);
    } else if (this.#accessLogs.size >= MAX_ACCESS_LOGS) {
      this.#write(h2.RST_STREAM, streamId, h2.REFUSED_STREAM);
    } else {
      this.#accessLogs.set(streamId, new AccessLogStream(exchangeBroken));
    }
  }

  #windowUpdate(streamId: number, bytes: Buffer, start: number, end: number): void {
    expectLength(end - start, 4);
    const increment = h2.readUint32(bytes, start) & 0x7fffffff;
    if (streamId === 0) {
      this.#host.sendWindowBytes += increment;
      if (increment === 0) {
        throw protocolError('zero window increment');
      }
      if (this.#host.sendWindowBytes > h2.MAX_WINDOW_BYTES) {
        throw new h2.ConnectionError(h2.FLOW_CONTROL_ERROR, 'window too large');
      }
      this.#host.wake();
      return;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      this.#expectNotIdle(streamId);
    } else if (increment === 0) {
      stream.reset(h2.PROTOCOL_ERROR);
    } else if (!stream.credit(increment)) {
      stream.reset(h2.FLOW_CONTROL_ERROR);
    } else {
      this.#host.wake(stream);
    }
  }

  #settings(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) {
      throw protocolError('SETTINGS on a stream');
    }
    this.#sawSettings = true;
    if ((flags & h2.ACK) !== 0) {
      expectLength(end - start, 0);
      return;
    }
    if ((end - start) % 6 !== 0) {
      throw new h2.ConnectionError(h2.FRAME_SIZE_ERROR, 'invalid SETTINGS length');
    }
    for (let at = start; at < end; at += 6) {
      this.#setting(bytes.readUInt16BE(at), h2.readUint32(bytes, at + 2));
    }
    const { output } = this.#host;
    const at = output.claim(h2.FRAME_HEADER_BYTES);
    h2.writeFrameHeader(output.buffer, at, 0, h2.SETTINGS, h2.ACK, 0);
    this.#host.scheduleFlush();
  }

  /** MAX_FRAME_SIZE is ignored, because our frames are never larger than its minimum. */
  #setting(id: number, value: number): void {
    if (id === h2.SETTINGS_INITIAL_WINDOW_SIZE) {
      if (value > h2.MAX_WINDOW_BYTES) {
        throw new h2.ConnectionError(h2.FLOW_CONTROL_ERROR, 'window too large');
      }
      this.#host.initialSendWindowBytes = value;
      this.#host.wake();
    } else if (id === h2.SETTINGS_HEADER_TABLE_SIZE && value < h2.DEFAULT_HEADER_TABLE_BYTES) {
      this.#host.owesTableSizeUpdate = true;
    }
  }

  #ping(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) {
      throw protocolError('PING on a stream');
    }
    expectLength(end - start, 8);
    if ((flags & h2.ACK) !== 0) {
      this.#host.pingAcknowledged();
      return;
    }
    const { output } = this.#host;
    const at = output.claim(h2.FRAME_HEADER_BYTES + 8);
    bytes.copy(output.buffer, h2.writeFrameHeader(output.buffer, at, 8, h2.PING, h2.ACK, 0), start, end);
    this.#host.scheduleFlush();
  }

  #expectNotIdle(streamId: number): void {
    if (streamId === 0 || streamId % 2 === 0 || streamId > this.lastStreamId) {
      throw protocolError('frame on an idle stream');
    }
  }

  #write(type: number, streamId: number, value: number): void {
    this.#host.output.number(type, streamId, value);
    this.#host.scheduleFlush();
  }
}

function protocolError(message: string): h2.ConnectionError {
  return new h2.ConnectionError(h2.PROTOCOL_ERROR, message);
}

function expectLength(length: number, wanted: number): void {
  if (length !== wanted) {
    throw new h2.ConnectionError(h2.FRAME_SIZE_ERROR, 'invalid frame size');
  }
}
