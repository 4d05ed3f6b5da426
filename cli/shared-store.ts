/** The shared quota store that the environment names. */
import { readFileSync } from 'node:fs';
import { readSharedStoreUrl, type SharedStoreConfig } from '../contract/shared-store.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import type { Settings } from './environment.ts';

const files = {
  password: 'TALLYGATE_QUOTA_STORE_PASSWORD_FILE',
  sentinelPassword: 'TALLYGATE_QUOTA_STORE_SENTINEL_PASSWORD_FILE',
  caPem: 'TALLYGATE_QUOTA_STORE_CA_FILE',
} as const;

/** Throws an OperatorError that names the variable. Undefined: this process counts for itself. */
export function sharedStoreOf(settings: Settings): SharedStoreConfig | undefined {
  const url = settings.TALLYGATE_QUOTA_STORE_URL;
  const contents: Record<string, string> = {};
  for (const [field, variable] of Object.entries(files)) {
    const path = settings[variable];
    if (path === undefined) {
      continue;
    }
    if (url === undefined) {
      throw new OperatorError(`${variable} requires TALLYGATE_QUOTA_STORE_URL; set that, or unset the file`);
    }
    contents[field] = readText(variable, path);
  }
  if (url === undefined) {
    return undefined;
  }
  const config = readSharedStoreUrl(url, contents);
  if ('problem' in config) {
    throw new OperatorError(`TALLYGATE_QUOTA_STORE_URL ${config.problem}`);
  }
  return config;
}

function readText(variable: string, path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trimEnd();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new OperatorError(`${variable} names ${path}, which cannot be read (${code}); correct the path`);
  }
  if (text === '') {
    throw new OperatorError(`${variable} names ${path}, which is empty; write the value into it`);
  }
  return text;
}
