/** Gives the access lines of this process to those who follow them, beside its output. */
import type { ServerResponse } from 'node:http';
import type { LineWriter } from '../runtime/line-writer.ts';

/** The quota socket has eight connections, and other commands need some of them. */
const MAX_FOLLOWERS = 3;
/** What waits for a slow follower; its further lines are dropped. */
const MAX_UNSENT_BYTES = 1024 * 1024;

interface Follower {
  readonly response: ServerResponse;
  dropped: number;
}

export class AccessLineTap implements LineWriter {
  readonly #writer: LineWriter;
  #followers: readonly Follower[] = [];

  constructor(writer: LineWriter) {
    this.#writer = writer;
  }

  get dropped(): number {
    return this.#writer.dropped;
  }

  write(line: string): void {
    this.#writer.write(line);
    for (const follower of this.#followers) {
      send(follower, line);
    }
  }

  close(): void {
    this.#writer.close();
  }

  /** Sends all further lines, until the other side ends. Returns false if too many follow. */
  follow(response: ServerResponse): boolean {
    if (this.#followers.length >= MAX_FOLLOWERS) {
      return false;
    }
    const follower = { response, dropped: 0 };
    this.#followers = [...this.#followers, follower];
    response.once('close', () => {
      this.#followers = this.#followers.filter((other) => other !== follower);
    });
    response.writeHead(200, { 'content-type': 'application/x-ndjson' }).flushHeaders();
    return true;
  }
}

function send(follower: Follower, line: string): void {
  const { response, dropped } = follower;
  if (response.writableLength > MAX_UNSENT_BYTES) {
    follower.dropped++;
    return;
  }
  if (dropped > 0) {
    follower.dropped = 0;
    response.write(`${dropped} lines were dropped because this command reads too slowly\n`);
  }
  response.write(line);
}
