/** Runs the program of the checkout against the cluster of KUBECONFIG, as a person does. */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { repository } from './kubectl.ts';

const COMMAND_MS = 60_000;

export interface ProgramResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts a command whose output the caller reads. */
export function startTallygate(args: readonly string[], environment: NodeJS.ProcessEnv = {}) {
  return spawn(process.execPath, [path.join(repository, 'cli/main.ts'), ...args], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Runs a command to its end, whatever its exit code. */
export async function tallygate(args: readonly string[], environment?: NodeJS.ProcessEnv): Promise<ProgramResult> {
  const child = startTallygate(args, environment);
  const timeout = setTimeout(() => child.kill(), COMMAND_MS);
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const code = await ended(child);
  clearTimeout(timeout);
  return { code, ...output };
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
}
