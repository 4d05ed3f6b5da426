import { ATTEMPTS_METADATA, REQUEST_METADATA } from '../../contract/headers.ts';
import type { Exchange, HeaderList } from '../exchange.ts';
import type { AttemptOwner, OpenAttempts } from './open-attempts.ts';
import type { AttemptAction, SessionEvent } from './protocol.ts';

/** The exchanges of the attempts of one request, as its driver sees them. */
export class AttemptExchanges implements AttemptOwner {
  readonly #open: OpenAttempts;
  readonly #handle: (event: SessionEvent) => void;
  readonly #id: string;
  #current: Exchange | undefined;

  constructor(open: OpenAttempts, handle: (event: SessionEvent) => void) {
    this.#open = open;
    this.#handle = handle;
    this.#id = open.open(this);
  }

  attemptBegan(exchange: Exchange, backend: string): void {
    this.#current = exchange;
    this.#handle({ type: 'attempt', backend });
  }

  attemptAnswered(exchange: Exchange, headers: HeaderList): void {
    if (exchange === this.#current) {
      this.#handle({ type: 'attempt-response', headers });
    } else {
      exchange.responseHeaders({});
    }
  }

  /** `exchange` is that of the request. */
  act(exchange: Exchange, action: AttemptAction): void {
    switch (action.type) {
      case 'request-attempts':
        exchange.requestHeaders({
          ...action.mutation,
          metadata: {
            [ATTEMPTS_METADATA]: { priority_groups: action.targets.map((name) => ({ name })) },
            [REQUEST_METADATA]: { id: this.#id },
          },
        });
        break;
      case 'attempt-request':
        this.#current?.requestHeaders(action.mutation);
        break;
      case 'attempt-refused':
        this.#current?.immediateResponse(action.response);
        break;
      case 'attempt-response':
        this.#current?.responseHeaders(action.mutation);
        break;
      default:
        action satisfies never;
    }
  }

  /** Refuses further attempts. */
  close(): void {
    this.#open.close(this.#id);
  }
}
