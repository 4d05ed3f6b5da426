/**
 * One connection of a peer: its socket, the input that was not read yet, and the order in which
 * streams send.
 */

import type { Socket } from 'node:net';
import type { ExchangeHandler } from '../exchange.ts';
import { FrameReader } from './frame-reader.ts';
import * as h2 from './frames.ts';
import { MalformedHeaders } from './hpack.ts';
import { BACKPRESSURE_BYTES, FLUSH_BYTES, LINGER_MS, MAX_CONTROL_BYTES } from './limits.ts';
import type { Flushable, Task } from './loop-slice.ts';
import type { Outbound } from './outbound.ts';
import { OutputBuffer } from './output-buffer.ts';
import { Protocol, type ProtocolHost } from './protocol.ts';
import { READ_BYTES, readSocket } from './read-socket.ts';
import { SendOrder } from './send-order.ts';
import type { ServerContext } from './server-context.ts';
import { HEALTH_NOT_SERVING, HEALTH_SERVING, RESPONSE_HEADERS, TABLE_SIZE_ZERO, TRAILERS_OK } from './static-frames.ts';
import type { Stream } from './stream.ts';

/** What one stream may send before the next one takes its turn. */
const QUANTUM_BYTES = 64 * 1024;

export class Connection implements ProtocolHost, Flushable, Task {
  readonly context: ServerContext;
  readonly output: OutputBuffer = new OutputBuffer();
  sendWindowBytes = h2.DEFAULT_WINDOW_BYTES;
  initialSendWindowBytes = h2.DEFAULT_WINDOW_BYTES;
  owesTableSizeUpdate = false;
  readonly #socket: Socket;
  readonly #onClosed: (connection: Connection) => void;
  readonly #reader = new FrameReader();
  readonly #protocol: Protocol;
  /** Input that was not read because a slice was over. The socket is paused meanwhile. */
  #backlog: Buffer[] = [];
  /** Memory for the next input that must wait. */
  #spare: Buffer | undefined;
  readonly #order = new SendOrder<Outbound>();
  /** The kernel has not accepted all output yet. */
  #blocked = false;
  /** Too much is unsent: reading is paused until the kernel accepts some output. */
  #backpressured = false;
  /** Blocks that may be part of what the kernel has not accepted. */
  #sentBlocks: ArrayBufferLike[] = [];
  #flushScheduled = false;
  /** A call of `proceed` is scheduled. */
  #taskScheduled = false;
  #closedForReading = false;
  #dead = false;
  #draining = false;
  #drainSeen = false;
  #closeAfterFlush = false;

  /** `accepted` must be paused (`pauseOnConnect`). */
  constructor(accepted: Socket, context: ServerContext, gone: (connection: Connection) => void) {
    const socket = readSocket(accepted, (bytes) => this.#receive(bytes));
    this.#socket = socket;
    this.context = context;
    this.#onClosed = gone;
    this.#protocol = new Protocol(this);
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#onSocketClose());
    this.#sendSettings();
  }

  get writable(): boolean {
    return !this.#blocked && this.output.bytes < FLUSH_BYTES;
  }

  get paused(): boolean {
    return this.context.slice.over || this.#closedForReading;
  }

  get unacceptedBytes(): number {
    return this.output.bytes + this.#socket.writableLength;
  }

  scheduleFlush(): void {
    if (this.#flushScheduled) {
      return;
    }
    this.#flushScheduled = true;
    this.context.slice.flushLater(this);
  }

  enqueue(stream: Outbound): void {
    this.#order.add(stream);
    this.scheduleFlush();
  }

  dequeue(stream: Outbound): void {
    this.#order.delete(stream);
  }

  reuse(blocks: readonly ArrayBufferLike[]): void {
    for (const block of this.#dead ? [] : blocks) {
      this.#sentBlocks.push(block);
    }
  }

  wake(stream?: Stream): void {
    if (this.#order.waiting.length === 0) {
      return;
    }
    if (stream === undefined) {
      for (const each of this.#order.waiting) {
        this.#order.wake(each);
      }
    } else {
      this.#order.wake(stream);
    }
    this.scheduleFlush();
  }

  headers(frame: Buffer, streamId: number): void {
    if (this.owesTableSizeUpdate) {
      this.owesTableSizeUpdate = false;
      const payload = Buffer.concat([Buffer.from([TABLE_SIZE_ZERO]), frame.subarray(h2.FRAME_HEADER_BYTES)]);
      this.output.frame(h2.frame(h2.HEADERS, frame[4]!, 0, payload), streamId);
    } else {
      this.output.frame(frame, streamId);
    }
    this.scheduleFlush();
  }

  removeStream(stream: Stream): void {
    this.dequeue(stream);
    if (!this.#protocol.removeStream(stream)) {
      return;
    }
    this.context.openStreams--;
    this.#finishDraining();
  }

  /** Returns the stream with the most unsent bytes. */
  largest(): Stream | undefined {
    let largest: Outbound | undefined;
    for (const stream of this.#order.waiting) {
      if (largest === undefined || stream.unsentBytes > largest.unsentBytes) {
        largest = stream;
      }
    }
    return largest === undefined ? undefined : this.#protocol.streams.get(largest.id);
  }

  /** Returns the handlers of the open streams. */
  handlers(): readonly ExchangeHandler[] {
    return this.#protocol.streams.all().map(({ handler }) => handler);
  }

  /**
   * Asks the peer to open no more streams, and closes the connection when the last one has ended.
   */
  drain(): void {
    this.#draining = true;
    this.#goAway(h2.NO_ERROR, h2.MAX_STREAM_ID);
    const at = this.output.claim(h2.FRAME_HEADER_BYTES + 8);
    const payload = h2.writeFrameHeader(this.output.buffer, at, 8, h2.PING, 0, 0);
    this.output.buffer.fill(0, payload, payload + 8);
    this.scheduleFlush();
  }

  /**
   * A PING follows the GOAWAY. When the peer acknowledges it, no stream can be on its way any more.
   */
  pingAcknowledged(): void {
    this.#drainSeen = this.#draining;
    this.#finishDraining();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  respondToHealthCheck(streamId: number): void {
    this.headers(RESPONSE_HEADERS, streamId);
    const answer = this.context.serving() ? HEALTH_SERVING : HEALTH_NOT_SERVING;
    const at = this.output.claimData(streamId, answer.length, h2.DEFAULT_FRAME_BYTES);
    this.output.buffer.set(answer, at);
    this.sendWindowBytes -= answer.length;
    this.headers(TRAILERS_OK, streamId);
  }

  /** Continues with the input that was left when a slice was over. */
  proceed(): void {
    this.#taskScheduled = false;
    if (this.#dead) {
      this.#abandonStreams();
      return;
    }
    while (this.#backlog.length > 0 && !this.paused) {
      const bytes = this.#backlog[0]!;
      const at = this.#read(bytes);
      if (at === bytes.length) {
        this.#backlog.shift();
        this.#spare = Buffer.from(bytes.buffer);
      } else {
        this.#backlog[0] = bytes.subarray(at);
      }
    }
    if (this.#closedForReading) {
      this.#backlog = [];
    } else if (this.#backlog.length > 0) {
      this.#scheduleTask();
    } else if (!this.#backpressured) {
      this.#socket.resume();
    }
  }

  flush(): void {
    this.#flushScheduled = false;
    if (this.#dead) {
      return;
    }
    const pumped = this.#order.readyCount > 0 ? this.#pump() : undefined;
    if (this.output.bytes > 0) {
      this.context.counters.bytesSent += this.output.bytes;
      this.output.flush(this.#socket, this.#onAccepted);
      this.#blocked = this.#socket.writableLength > 0;
    }
    this.#reuseSent();
    this.#applyBackpressure();
    if (this.#closeAfterFlush) {
      this.#socket.setTimeout(LINGER_MS, () => this.#socket.destroy());
      this.#socket.end();
    } else if (this.#socket.writableLength > FLUSH_BYTES * 2 + MAX_CONTROL_BYTES) {
      this.context.log.warn({ bytes: this.#socket.writableLength }, 'ext_proc peer too slow, closing connection');
      this.#socket.destroy();
    }
    if (this.#order.readyCount > 0 && this.writable && this.sendWindowBytes > 0) {
      this.scheduleFlush();
    }
    if (pumped !== undefined) {
      for (const stream of pumped) {
        this.#protocol.streams.get(stream.id)?.notifyDrained();
      }
    }
  }

  discard(): void {
    this.#flushScheduled = false;
    this.output.discard();
    this.#closedForReading = true;
    this.#socket.destroy();
  }

  #sendSettings(): void {
    const { limits } = this.context;
    const settings = h2.settingsPayload([
      [h2.SETTINGS_HEADER_TABLE_SIZE, 0],
      [h2.SETTINGS_MAX_CONCURRENT_STREAMS, limits.maxConcurrentStreams],
      [h2.SETTINGS_INITIAL_WINDOW_SIZE, limits.streamWindowBytes],
      [h2.SETTINGS_MAX_HEADER_LIST_SIZE, limits.maxHeaderBlockBytes],
    ]);
    this.output.frame(h2.frame(h2.SETTINGS, 0, 0, settings), 0);
    this.output.number(h2.WINDOW_UPDATE, 0, limits.connectionWindowBytes - h2.DEFAULT_WINDOW_BYTES);
    this.scheduleFlush();
  }

  #receive(bytes: Buffer): void {
    this.context.counters.bytesReceived += bytes.length;
    if (this.#closedForReading) {
      return;
    }
    const at = this.#backlog.length === 0 ? this.#read(bytes) : 0;
    if (this.#closedForReading || at === bytes.length) {
      return;
    }
    this.#backlog.push(this.#copy(bytes, at));
    this.#socket.pause();
    this.#scheduleTask();
  }

  /**
   * Copies input into memory that is used again. A frame is a quarter of it, as of the read buffer,
   * so nobody keeps a view.
   */
  #copy(bytes: Buffer, at: number): Buffer {
    const memory = this.#spare ?? Buffer.allocUnsafeSlow(READ_BYTES);
    this.#spare = undefined;
    return memory.subarray(0, bytes.copy(memory, 0, at));
  }

  #scheduleTask(): void {
    if (this.#taskScheduled) {
      return;
    }
    this.#taskScheduled = true;
    this.context.slice.later(this);
  }

  #read(bytes: Buffer): number {
    try {
      return this.#reader.read(bytes, 0, this.#protocol);
    } catch (error) {
      this.#failConnection(error);
      return bytes.length;
    }
  }

  /** Sends GOAWAY and closes the connection, after a protocol error of the peer or an exception. */
  #failConnection(error: unknown): void {
    this.#closedForReading = true;
    this.context.counters.connectionErrors++;
    const code = error instanceof h2.ConnectionError ? error.code : h2.COMPRESSION_ERROR;
    if (error instanceof h2.ConnectionError || error instanceof MalformedHeaders) {
      this.context.log.warn({ code, reason: error.message }, 'ext_proc protocol error, closing connection');
    } else {
      this.context.log.error({ err: error }, 'ext_proc connection failed');
    }
    this.#goAway(code, this.#protocol.lastStreamId);
    this.#closeAfterFlush = true;
  }

  #goAway(code: number, lastStreamId: number): void {
    const at = this.output.claim(h2.FRAME_HEADER_BYTES + 8);
    const { buffer } = this.output;
    const payload = h2.writeFrameHeader(buffer, at, 8, h2.GOAWAY, 0, 0);
    h2.writeUint32(buffer, h2.writeUint32(buffer, payload, lastStreamId), code);
    this.scheduleFlush();
  }

  #finishDraining(): void {
    if (!this.#drainSeen || this.#protocol.streams.size > 0 || this.#closeAfterFlush) {
      return;
    }
    this.#goAway(h2.NO_ERROR, this.#protocol.lastStreamId);
    this.#closeAfterFlush = true;
  }

  /** Sends from the ready streams, round robin. Returns the streams that sent. */
  #pump(): readonly Outbound[] {
    const pumped: Outbound[] = [];
    const stopped: Outbound[] = [];
    while (this.writable) {
      const stream = this.#order.next();
      if (stream === undefined) {
        break;
      }
      pumped.push(stream);
      if (stream.pump(QUANTUM_BYTES)) {
        if (this.sendWindowBytes > 0) {
          this.#order.wake(stream);
        } else {
          stopped.push(stream);
        }
      } else if (stream.unsentBytes === 0) {
        this.#order.delete(stream);
      }
    }
    for (const stream of stopped) {
      this.#order.wake(stream);
    }
    return pumped;
  }

  readonly #onAccepted = (): void => {
    if (!this.#blocked || this.#socket.writableLength > 0) {
      return;
    }
    this.#blocked = false;
    this.#reuseSent();
    if (this.#order.readyCount > 0) {
      this.scheduleFlush();
    } else {
      this.#applyBackpressure();
    }
  };

  /** Outside of a flush, no output but that of the socket refers to blocks. */
  #reuseSent(): void {
    if (this.#sentBlocks.length > 0 && !this.#blocked) {
      this.context.blocks.give(this.#sentBlocks);
      this.#sentBlocks = [];
    }
  }

  /**
   * Pauses reading while the kernel is behind: a peer that sends faster than it accepts output
   * makes garbage faster than V8 collects it. Closed HTTP/2 windows never pause reading, because
   * their updates have to be read.
   */
  #applyBackpressure(): void {
    const backpressured = this.#blocked && this.context.unsentBytes > BACKPRESSURE_BYTES;
    if (backpressured === this.#backpressured) {
      return;
    }
    this.#backpressured = backpressured;
    if (backpressured) {
      this.#socket.pause();
    } else if (this.#backlog.length === 0) {
      this.#socket.resume();
    }
  }

  #onSocketClose(): void {
    this.#dead = true;
    this.#closedForReading = true;
    this.#backlog = [];
    this.#sentBlocks = [];
    this.output.discard();
    this.#abandonStreams();
  }

  /** Abandons all streams, one slice at a time: thousands of them may have to settle. */
  #abandonStreams(): void {
    const { slice } = this.context;
    for (const stream of this.#protocol.streams.all()) {
      if (slice.over) {
        this.#scheduleTask();
        return;
      }
      slice.begin();
      stream.abandon();
      slice.spend(0);
    }
    this.#onClosed(this);
  }
}
