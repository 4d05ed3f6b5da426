/** What keys do in `tallygate top`. */
import type { LiveStream, StopOutcome } from '../../console/api/source.ts';
import { ownerOf, STREAMS_SECTION } from './sections.ts';

/** A key as `node:readline` names it. */
export interface PressedKey {
  readonly name?: string | undefined;
  readonly ctrl?: boolean | undefined;
  readonly shift?: boolean | undefined;
}

export interface TopState {
  readonly selected: number;
  readonly row: number;
  /** The request that `y` stops. */
  readonly asking?: LiveStream;
  readonly message?: string;
}

/** What there is to select from. */
export interface TopChoices {
  /** How many rows each section has. */
  readonly rows: readonly number[];
  readonly streams: readonly LiveStream[];
}

export interface PressedState {
  readonly state: TopState;
  readonly action?: { readonly type: 'quit' } | { readonly type: 'stop'; readonly stream: LiveStream };
}

export const firstState: TopState = { selected: 0, row: 0 };

export function press(state: TopState, key: PressedKey, choices: TopChoices): PressedState {
  const { selected, asking } = state;
  const row = selectedRow(state, choices);
  if (key.ctrl && key.name === 'c') {
    return { state, action: { type: 'quit' } };
  }
  if (asking !== undefined) {
    return key.name === 'y'
      ? { state: { selected, row, message: 'stopping…' }, action: { type: 'stop', stream: asking } }
      : { state: { selected, row } };
  }
  const section = (by: number): PressedState => {
    const count = choices.rows.length;
    return { state: { selected: (selected + by + count) % count, row: 0 } };
  };
  const move = (to: number): PressedState => ({
    state: { selected, row: Math.max(0, Math.min(to, choices.rows[selected]! - 1)) },
  });
  switch (key.name) {
    case 'q':
      return { state, action: { type: 'quit' } };
    case 'tab':
      return section(key.shift ? -1 : 1);
    case 'right':
      return section(1);
    case 'left':
      return section(-1);
    case 'up':
      return move(row - 1);
    case 'down':
      return move(row + 1);
    case 's':
      return { state: asked(selected, row, choices.streams) };
    default:
      return { state };
  }
}

/** Rows may have gone since the selection. */
export function selectedRow({ selected, row }: TopState, { rows }: TopChoices): number {
  return Math.max(0, Math.min(row, rows[selected]! - 1));
}

function asked(selected: number, row: number, streams: readonly LiveStream[]): TopState {
  const stream = streams[row];
  if (selected !== STREAMS_SECTION || stream === undefined) {
    return { selected, row, message: 'select a request in flight first' };
  }
  const { model = 'no model', requestId = '' } = stream;
  // The names are long where their owner wants so, and must not hide the question.
  const message = `y stops the request of ${ownerOf(stream)}, ${model} ${requestId}; other keys do not`;
  return { selected, row, asking: stream, message };
}

export const stopTexts: Readonly<Record<StopOutcome, string>> = {
  stopped: 'the request was stopped',
  completes: 'the response is one document that has begun, so it completes',
  unknown: 'the request has ended meanwhile',
};
