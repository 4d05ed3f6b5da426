/** Requests in flight, which operators may stop. */
import { type ComponentChildren, h } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Bounded, LiveStream, StopOutcome } from '../api/source.ts';
import { post } from './client.ts';
import { shownAge, shownMoney, shownNumber, shownOwner } from './format.ts';
import { type Column, DataTable, Section } from './parts.ts';
import type { Polled } from './polled.ts';

const outcomes: Readonly<Record<StopOutcome, string>> = {
  stopped: 'The request was stopped and charged for what it received.',
  completes: 'The response is one document that has begun, so it completes.',
  unknown: 'The request has ended meanwhile.',
};

const columns: readonly Column<LiveStream>[] = [
  { head: 'for', cell: (stream) => shownOwner(stream) },
  { head: 'model', cell: ({ model = '–' }) => model },
  { head: 'backend', cell: ({ backend = '–' }) => backend },
  { head: 'since', isShort: true, cell: ({ startedAt }) => shownAge(Date.now() - Date.parse(startedAt)) },
  {
    head: 'state',
    cell: ({ firstTokenMs, stream }) => (firstTokenMs === undefined ? 'waits' : stream ? 'streams' : 'responds'),
  },
  { head: 'input tokens', isNumber: true, cell: ({ inputTokens }) => shownNumber(inputTokens) },
  { head: 'output tokens', isNumber: true, cell: ({ outputTokens }) => shownNumber(outputTokens) },
  { head: 'held tokens', isNumber: true, cell: ({ heldTokens }) => shownNumber(heldTokens) },
  {
    head: 'cost',
    isNumber: true,
    cell: ({ cost, currency = '' }) => (cost === undefined ? '–' : shownMoney(Number(cost), currency)),
  },
];

export function StreamsSection(props: {
  readonly polled: Polled<Bounded<LiveStream>>;
  readonly isOperator: boolean;
}): ComponentChildren {
  const { polled, isOperator } = props;
  const [asking, setAsking] = useState<LiveStream>();
  const [said, setSaid] = useState('');
  const stop = async ({ id }: LiveStream) => {
    setAsking(undefined);
    try {
      const { outcome } = await post<{ readonly outcome: StopOutcome }>(`streams/${id}/stop`);
      setSaid(outcomes[outcome]);
    } catch (error) {
      setSaid(error instanceof Error ? error.message : String(error));
    }
    polled.refresh();
  };
  const button: Column<LiveStream> = {
    head: 'action',
    cell: (stream) =>
      h(
        'button',
        { type: 'button', class: 'danger', 'aria-label': `Stop ${nameOf(stream)}`, onClick: () => setAsking(stream) },
        'Stop',
      ),
  };
  return h(
    'div',
    null,
    h(Section<LiveStream>, {
      id: 'streams',
      title: 'Requests in flight',
      polled,
      empty: 'No request is in flight.',
      choices: h('p', { role: 'status', class: 'quiet' }, said),
      children: (rows) =>
        h(DataTable<LiveStream>, {
          caption: 'Requests in flight',
          rows,
          columns: isOperator ? [...columns, button] : columns,
          keyOf: ({ id }) => id,
        }),
    }),
    asking !== undefined &&
      h(StopDialog, { stream: asking, onStop: () => stop(asking), onCancel: () => setAsking(undefined) }),
  );
}

function StopDialog(props: {
  readonly stream: LiveStream;
  readonly onStop: () => void;
  readonly onCancel: () => void;
}): ComponentChildren {
  const { stream, onStop, onCancel } = props;
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => element.current?.showModal(), []);
  return h(
    'dialog',
    { ref: element, 'aria-labelledby': 'stop-title', onCancel, onClose: onCancel },
    h('h2', { id: 'stop-title' }, 'Stop this request?'),
    h('p', null, `The stream of ${nameOf(stream)} ends as at the end of its budget. What it received is charged.`),
    h(
      'div',
      { class: 'choices' },
      h('button', { type: 'button', onClick: onCancel }, 'Cancel'),
      h('button', { type: 'button', class: 'danger', onClick: onStop }, 'Stop the request'),
    ),
  );
}

function nameOf(stream: LiveStream): string {
  return `${shownOwner(stream)}, ${stream.model ?? 'no model'}`;
}
