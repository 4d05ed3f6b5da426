/** What the writers of all client APIs share: how a converted stream goes on and ends. */
import type { Failure } from '../errors.ts';
import type { EventVerdict, StreamWriter } from '../providers/adapter.ts';
import type { Usage } from '../usage.ts';
import type { AnswerFacts, AnswerPart } from './answer.ts';
import { incompleteAnswer } from './failures.ts';

export abstract class AnswerWriter implements StreamWriter<AnswerFacts> {
  readonly converts = true;
  /** The provider said why the answer ends. */
  protected finished = false;
  #ended = false;
  #events = '';
  #isTaken = false;

  write(_bytes: Uint8Array, _start: number, _end: number, { parts }: AnswerFacts): EventVerdict {
    let events = '';
    for (const part of parts) {
      events += this.#write(part);
    }
    if (events === '') {
      return 'drop';
    }
    this.#events = this.#isTaken ? events : this.#events + events;
    this.#isTaken = false;
    return 'replace';
  }

  get replacement(): Uint8Array {
    this.#isTaken = true;
    return Buffer.from(this.#events);
  }

  /** Ends the stream where the provider has ended its own, with an error if that was too early. */
  end(): Uint8Array {
    return Buffer.from(this.#write(this.finished ? { type: 'end' } : { type: 'error', failure: incompleteAnswer }));
  }

  truncate(usage: Usage): Uint8Array {
    const events = this.#ended ? '' : this.truncated(usage);
    this.#ended = true;
    return Buffer.from(events);
  }

  fail(failure: Failure): Uint8Array {
    return Buffer.from(this.#write({ type: 'error', failure }));
  }

  #write(part: AnswerPart): string {
    if (this.#ended) {
      return '';
    }
    if (part.type === 'error') {
      this.#ended = true;
      return this.failed(part.failure);
    }
    this.#ended = part.type === 'end';
    this.finished ||= part.type === 'finish';
    return this.part(part);
  }

  /** Returns the events for a part; of `end`, those that end the stream. */
  protected abstract part(part: Exclude<AnswerPart, { type: 'error' }>): string;

  /** Returns the events that end the stream at the end of a budget. */
  protected abstract truncated(usage: Usage): string;

  /** Returns the events that end the stream with an error. */
  protected abstract failed(failure: Failure): string;
}
