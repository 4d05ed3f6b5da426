/** Asks the API of the console. The credential stays in this tab. */

const STORED = 'tallygate-credential';

/** The API refused a request, or cannot be reached (status 0). */
export class ConsoleError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function signIn(credential: string): void {
  sessionStorage.setItem(STORED, credential);
}

export function isCredentialStored(): boolean {
  return sessionStorage.getItem(STORED) !== null;
}

export function signOut(): void {
  sessionStorage.removeItem(STORED);
}

export function get<Answer>(path: string, signal?: AbortSignal): Promise<Answer> {
  return ask<Answer>(path, { method: 'GET', signal: signal ?? null });
}

export function post<Answer>(path: string): Promise<Answer> {
  return ask<Answer>(path, { method: 'POST', body: '{}' });
}

async function ask<Answer>(path: string, init: RequestInit): Promise<Answer> {
  const credential = sessionStorage.getItem(STORED);
  const headers = new Headers(init.method === 'POST' ? { 'content-type': 'application/json' } : {});
  if (credential !== null) {
    headers.set('authorization', `Bearer ${credential}`);
  }
  let response: Response;
  try {
    response = await fetch(`api/${path}`, { ...init, headers, credentials: 'omit', cache: 'no-store' });
  } catch (error) {
    if (init.signal?.aborted) {
      throw error;
    }
    throw new ConsoleError(0, 'The gateway cannot be reached; start it, or check the connection.');
  }
  const body = await response.json().catch(() => undefined);
  if (!response.ok) {
    throw new ConsoleError(response.status, body?.error?.message ?? `The gateway answered ${response.status}.`);
  }
  return body as Answer;
}
