/**
 * Controls the cluster of KUBECONFIG with the user's kubectl and helm. Every call has a deadline,
 * and a failure shows the output of the command.
 */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { secretsIn } from '../../../fixtures/leaks/protected-values.ts';
import { protect } from '../../data-plane/support/leaks/outputs.ts';
import type { Document } from '../../data-plane/support/resources.ts';

export const repository = path.resolve(import.meta.dirname, '../../..');
const COMMAND_MS = 120_000;

export interface CommandOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly environment?: Readonly<Record<string, string>>;
}

export class CommandFailure extends Error {
  readonly stderr: string;
  constructor(line: string, stderr: string, reason: string) {
    super(`${line} ${reason}\n${stderr}`);
    this.stderr = stderr;
  }
}

/** Runs a program and returns its stdout. */
export function command(program: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const child = spawn(program, args, {
    cwd: repository,
    env: { ...process.env, ...options.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? COMMAND_MS,
  });
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (piece: Buffer) => stdout.push(piece));
  child.stderr.on('data', (piece: Buffer) => stderr.push(piece));
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) {
        return resolve(Buffer.concat(stdout).toString());
      }
      const said = Buffer.concat(stderr).toString();
      reject(new CommandFailure([program, ...args].join(' '), said, `ended with ${code ?? signal}`));
    });
  });
}

export function kubectl(...args: readonly string[]): Promise<string> {
  return command('kubectl', args);
}

export async function apply(documents: readonly Document[]): Promise<void> {
  const args = ['apply', '--server-side', '--force-conflicts', '--field-manager=tests', '-f', '-'];
  for (const document of documents) {
    protect(secretsIn(JSON.stringify(document), process.env));
  }
  await command('kubectl', args, { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: documents }) });
}

// biome-ignore lint/suspicious/noExplicitAny: tests read objects of many kinds.
export async function get(...args: readonly string[]): Promise<any> {
  return JSON.parse(await kubectl('get', ...args, '-o', 'json'));
}

/** Waits with `kubectl wait --for=…`. A failure shows the object. */
export async function waitUntil(condition: string, object: readonly string[], timeoutMs = 60_000): Promise<void> {
  const args = ['wait', `--for=${condition}`, ...object, `--timeout=${Math.ceil(timeoutMs / 1000)}s`];
  try {
    await command('kubectl', args, { timeoutMs: timeoutMs + 10_000 });
  } catch (error) {
    const shown = await kubectl('get', ...object, '-o', 'yaml').catch(String);
    throw new Error(`${String(error)}\n${shown}`);
  }
}

/** Returns the jsonpath for a condition of a route's first parent or a policy's first ancestor. */
export function condition(list: 'parents' | 'ancestors', type: string, status: 'True' | 'False' | 'Unknown'): string {
  return `jsonpath={.status.${list}[0].conditions[?(@.type=="${type}")].status}=${status}`;
}
