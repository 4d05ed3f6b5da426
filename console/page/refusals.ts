/** The last refused requests, with their explanation. */
import { type ComponentChildren, h } from 'preact';
import type { Bounded, RefusedRequest } from '../api/source.ts';
import { shownOwner, shownTime } from './format.ts';
import { type Column, DataTable, Section } from './parts.ts';
import type { Polled } from './polled.ts';

const columns: readonly Column<RefusedRequest>[] = [
  { head: 'time', isShort: true, cell: ({ time }) => shownTime(time) },
  { head: 'for', cell: (refusal) => shownOwner(refusal) },
  { head: 'model', cell: ({ model = '–' }) => model },
  { head: 'status', isNumber: true, cell: ({ status = '–' }) => status },
  { head: 'reason', cell: ({ reason = '–' }) => reason },
  { head: 'quota', cell: ({ quota = '–' }) => quota },
  { head: 'explanation', isLong: true, cell: ({ message = '–' }) => message },
];

/** `onExplain` is called with the id of a request. */
export function RefusalsSection(props: {
  readonly polled: Polled<Bounded<RefusedRequest>>;
  readonly onExplain: (requestId: string) => void;
}): ComponentChildren {
  const link: Column<RefusedRequest> = {
    head: 'request id',
    cell: ({ requestId }) => h('a', { href: '#request', onClick: () => props.onExplain(requestId) }, requestId),
  };
  return h(Section<RefusedRequest>, {
    id: 'refusals',
    title: 'Refusals',
    polled: props.polled,
    empty: 'The gateway has refused no request since its start.',
    children: (rows) =>
      h(DataTable<RefusedRequest>, {
        caption: 'Refused requests, newest first',
        rows,
        columns: [...columns, link],
        keyOf: ({ time, requestId }) => `${time} ${requestId}`,
      }),
  });
}
