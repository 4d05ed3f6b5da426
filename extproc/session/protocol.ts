/**
 * What enters and leaves a session. Everything that is not computing is asked for by an action and answered by an event, so a session can be replayed from
 * a recording, and its store may answer at once or later.
 */
import type { Tokenizer } from '../../contract/policy.ts';
import type { HeaderList, HeaderMutation, ImmediateResponse } from '../exchange.ts';
import type { Interruption } from '../interruption.ts';
import type { ScannedBody } from '../json/scanner.ts';
import type { Charge, Decision, Demand, FlatCharge, Hold, OutputDemand } from '../quota/store.ts';
import type { RequestRecord } from '../record.ts';

export type SessionEvent =
  | {
      readonly type: 'request-headers';
      readonly headers: HeaderList;
      readonly endOfStream: boolean;
      readonly routeName: string | undefined;
    }
  | { readonly type: 'request-body'; readonly bytes: Uint8Array; readonly endOfStream: boolean }
  | { readonly type: 'request-trailers' }
  | {
      readonly type: 'response-headers';
      readonly headers: HeaderList;
      readonly endOfStream: boolean;
      /** Envoy's word for who wrote the answer, where it is asked for it. */
      readonly codeDetails?: string | undefined;
      /** What was asked for, also where Envoy answered before the request came here. */
      readonly path?: string | undefined;
    }
  | { readonly type: 'response-body'; readonly bytes: Uint8Array; readonly endOfStream: boolean }
  | { readonly type: 'response-trailers' }
  /** An answer of the provider, decompressed; the end comes after the last bytes. */
  | { readonly type: 'inflated'; readonly bytes: Uint8Array }
  | { readonly type: 'inflate-end'; readonly error: boolean }
  /** The process has no room for more request bodies, and this one has to go. */
  | { readonly type: 'overloaded' }
  /** The body comes too slowly. */
  | { readonly type: 'upload-late' }
  | { readonly type: 'counted'; readonly tokens: number }
  | { readonly type: 'reserved'; readonly decision: Decision }
  | { readonly type: 'extended'; readonly tokens: number }
  | { readonly type: 'first-token-timeout' }
  | {
      readonly type: 'closed';
      readonly clean: boolean;
      /** Envoy's word for who broke it off, if it was not the client. */
      readonly broken?: Interruption | undefined;
    };

export type EventOf<Type extends SessionEvent['type']> = Extract<SessionEvent, { type: Type }>;

export type Action =
  | { readonly type: 'request-headers'; readonly mutation: HeaderMutation }
  | { readonly type: 'request-body'; readonly bytes: Uint8Array; readonly endOfStream: boolean }
  | { readonly type: 'request-trailers' }
  | { readonly type: 'response-headers'; readonly mutation: HeaderMutation }
  | { readonly type: 'response-body'; readonly bytes: Uint8Array; readonly endOfStream: boolean }
  | { readonly type: 'response-trailers' }
  | { readonly type: 'immediate-response'; readonly response: ImmediateResponse }
  /** Nothing more will be said to Envoy. */
  | { readonly type: 'end' }
  /** Memory that the body takes from now on (negative: lets go), for the bound of the process. */
  | { readonly type: 'keep'; readonly bytes: number }
  | { readonly type: 'reserve'; readonly demand: Demand }
  | { readonly type: 'extend'; readonly hold: Hold; readonly output: OutputDemand }
  /** Stop waiting for the answer to `reserve` or `extend`. */
  | { readonly type: 'cancel' }
  /** Count the request's text in slices, and stop beyond `limitTokens`. */
  | {
      readonly type: 'count';
      readonly body: ScannedBody;
      readonly tokenizer: Tokenizer;
      readonly model: string;
      readonly limitTokens: number;
    }
  /** The text is about to be let go, and nobody waits for its count any more. */
  | { readonly type: 'stop-count' }
  | { readonly type: 'inflate'; readonly encoding: string }
  | { readonly type: 'inflate-push'; readonly bytes: Uint8Array }
  | { readonly type: 'inflate-finish' }
  | { readonly type: 'start-timer'; readonly ms: number }
  | { readonly type: 'stop-timer' }
  | { readonly type: 'health'; readonly target: string; readonly well: boolean }
  | { readonly type: 'finish'; readonly settle: Settle | undefined; readonly outcome: RequestRecord };

export interface Settle {
  readonly hold: Hold;
  readonly charge: Charge | FlatCharge;
}
