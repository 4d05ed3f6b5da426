/** Keeps an answer of the API fresh while its page is visible. */
import { createContext } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import { ConsoleError, get } from './client.ts';

export interface Polled<Answer> {
  /** The last answer; undefined before the first one. */
  readonly answer: Answer | undefined;
  /** Why there is no newer one. */
  readonly problem: string | undefined;
  refresh(): void;
}

export interface Refreshing {
  readonly isOn: boolean;
  /** Called when the API wants a credential. */
  readonly onSignedOut: (message: string) => void;
}

export const RefreshContext = createContext<Refreshing>({ isOn: true, onSignedOut: () => {} });

export function usePolled<Answer>(path: string, everyMs: number): Polled<Answer> {
  const { isOn, onSignedOut } = useContext(RefreshContext);
  const [state, setState] = useState<{ path: string; answer?: Answer; problem?: string }>({ path });
  const [asked, setAsked] = useState(0);
  useEffect(() => {
    const leaving = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const poll = async () => {
      if (!document.hidden || asked === 0) {
        try {
          const answer = await get<Answer>(path, leaving.signal);
          setState({ path, answer });
        } catch (error) {
          if (leaving.signal.aborted) {
            return;
          }
          if (error instanceof ConsoleError && error.status === 401) {
            onSignedOut(error.message);
            return;
          }
          const problem = error instanceof Error ? error.message : String(error);
          setState((before) => ({ ...before, problem }));
        }
      }
      if (isOn && !leaving.signal.aborted) {
        timer = setTimeout(poll, everyMs);
      }
    };
    void poll();
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [path, everyMs, isOn, asked]);
  const answer = state.path === path ? state.answer : undefined;
  return { answer, problem: state.problem, refresh: () => setAsked((count) => count + 1) };
}
