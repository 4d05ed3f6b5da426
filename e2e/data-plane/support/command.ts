/** Runs a command of `tallygate` in a home folder of its own, and reads its output meanwhile. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { Output } from './leaks/outputs.ts';
import { repository } from './pages.ts';
import { waitFor, within } from './wait.ts';

const main = path.join(repository, 'cli/main.ts');
const COMMAND_MS = 30_000;
/** Their standard output is a credential. */
const PRINT_CREDENTIALS: ReadonlySet<string | undefined> = new Set(['key', 'token']);

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
    const stdout = new Output(
      `the standard output of tallygate ${args[0]}`,
      PRINT_CREDENTIALS.has(args[0]) ? ['credential'] : [],
    );
    const stderr = new Output(`the standard error of tallygate ${args[0]}`);
    this.#child.stdout?.on('data', (text) => {
      stdout.add(text);
      this.#stdout += text;
    });
    this.#child.stderr?.on('data', (text) => {
      stderr.add(text);
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
