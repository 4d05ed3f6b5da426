/** Signs in with `tallygate login`, as a person with a browser does. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { signIn } from './oidc-user.ts';
import { repository } from './pages.ts';
import { waitFor, within } from './wait.ts';

const program = path.join(repository, 'cli/main.ts');

/** Returns the environment for commands of this person, with `tallygate` in the path. */
export function personalEnvironment(home: string): NodeJS.ProcessEnv {
  const bin = path.join(repository, 'node_modules/.bin');
  return { PATH: `${bin}:${process.env['PATH']}`, HOME: home, XDG_CONFIG_HOME: home };
}

export async function loginAs(user: string, gatewayUrl: string, home: string): Promise<void> {
  const child = spawn(process.execPath, [program, 'login', gatewayUrl, '--browser'], {
    env: personalEnvironment(home),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (text) => (stderr += text));
  const closed = once(child, 'close');
  try {
    const address = await waitFor(
      'address to open',
      () => /Open (\S+)/.exec(stderr)?.[1],
      20_000,
      () => stderr,
    );
    await signIn(address, user);
    await within(30_000, 'tallygate login', closed);
  } finally {
    child.kill('SIGKILL');
  }
  if (child.exitCode !== 0) {
    throw new Error(`tallygate login: ${stderr}`);
  }
}
