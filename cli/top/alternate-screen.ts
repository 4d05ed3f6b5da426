/** The alternate screen of a terminal, which is left however the process ends. */
import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import { emitKeypressEvents } from 'node:readline';
import type { ReadStream, WriteStream } from 'node:tty';
import type { PressedKey } from './control.ts';

const ESC = '\u001b[';
/** Alternate screen, no cursor, and no line breaks where a character is wider than expected. */
const ENTER = `${ESC}?1049h${ESC}?25l${ESC}?7l`;
const LEAVE = `${ESC}0m${ESC}?7h${ESC}?25h${ESC}?1049l`;
const HOME = `${ESC}H`;
const REST_OF_LINE = `${ESC}0m${ESC}K`;
const REST_OF_SCREEN = `${ESC}J`;

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface ScreenEvents {
  readonly onKey: (key: PressedKey) => void;
  readonly onResize: () => void;
}

export class AlternateScreen {
  readonly #input: ReadStream;
  readonly #output: WriteStream & { readonly fd: number };
  #isOpen = true;
  readonly #leave = () => this.close();
  readonly #end = (signal: NodeJS.Signals) => {
    this.close();
    process.exit(128 + constants.signals[signal]);
  };

  constructor(input: ReadStream, output: WriteStream & { readonly fd: number }, { onKey, onResize }: ScreenEvents) {
    this.#input = input;
    this.#output = output;
    // A crash ends with this event, too.
    process.on('exit', this.#leave);
    for (const signal of signals) {
      process.on(signal, this.#end);
    }
    emitKeypressEvents(input);
    input.setRawMode(true);
    input.on('keypress', (_text: string | undefined, key: PressedKey) => onKey(key));
    // The terminal has gone.
    input.on('end', () => this.#end('SIGHUP'));
    input.on('error', () => this.#end('SIGHUP'));
    output.on('error', () => this.#end('SIGHUP'));
    output.on('resize', onResize);
    input.resume();
    output.write(ENTER);
  }

  get size(): { readonly columns: number; readonly rows: number } {
    return { columns: this.#output.columns || 80, rows: this.#output.rows || 24 };
  }

  /** Leaves the screen as it is while the terminal has not taken the last one. */
  draw(lines: readonly string[]): void {
    if (this.#isOpen && this.#output.writableLength === 0) {
      const text = lines.map((line) => line + REST_OF_LINE).join('\r\n');
      this.#output.write(`${HOME}${text}${REST_OF_SCREEN}`);
    }
  }

  close(): void {
    if (!this.#isOpen) {
      return;
    }
    this.#isOpen = false;
    try {
      this.#input.setRawMode(false);
      writeSync(this.#output.fd, LEAVE);
    } catch {
      // The terminal has gone.
    }
    this.#input.pause();
    process.off('exit', this.#leave);
    for (const signal of signals) {
      process.off(signal, this.#end);
    }
  }
}
