/** Runs a command of `tallygate` in a home folder of its own, and reads its output meanwhile. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { repository } from './pages.ts';
import { waitFor, within } from './wait.ts';

const main = path.join(repository, 'cli/main.ts');
const COMMAND_MS = 30_000;

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class Command {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #stdout = '';
  #stderr = '';

  constructor(home: string, args: readonly string[]) {
    this.#child = spawn(process.execPath, [main, ...args], {
      env: { PATH: process.env['PATH'], HOME: home, XDG_CONFIG_HOME: home },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout?.on('data', (text) => {
      this.#stdout += text;
    });
    this.#child.stderr?.on('data', (text) => {
      this.#stderr += text;
    });
    this.#closed = once(this.#child, 'close');
  }

  /** Waits until stderr matches, and returns the first group. Throws if the command ends before. */
  line(pattern: RegExp): Promise<string> {
    const found = () => {
      const text = pattern.exec(this.#stderr)?.[1];
      if (text === undefined && this.#child.exitCode !== null) {
        throw new Error(`the command ended without ${pattern}: ${this.#stderr}`);
      }
      return text;
    };
    return waitFor(`line ${pattern}`, found, COMMAND_MS, () => this.#stderr);
  }

  async end(): Promise<CommandResult> {
    try {
      await within(COMMAND_MS, 'the command', this.#closed);
    } finally {
      this.#child.kill('SIGKILL');
    }
    return { code: this.#child.exitCode, stdout: this.#stdout, stderr: this.#stderr };
  }
}
