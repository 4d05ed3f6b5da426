/** Which backends serve requests, and why others rest. */
import { type ComponentChildren, h } from 'preact';
import type { BackendRest, BackendState, Bounded } from '../api/source.ts';
import { shownMinute } from './format.ts';
import { type Column, DataTable, Section } from './parts.ts';
import type { Polled } from './polled.ts';

const columns: readonly Column<BackendState>[] = [
  { head: 'backend', cell: ({ backend }) => backend },
  {
    head: 'state',
    cell: ({ rests }) =>
      rests.length === 0 ? 'healthy' : h('span', { class: 'late' }, rests.map(restText).join('; ')),
  },
];

export function BackendsSection({ polled }: { readonly polled: Polled<Bounded<BackendState>> }): ComponentChildren {
  return h(Section<BackendState>, {
    id: 'backends',
    title: 'Backends',
    polled,
    empty: 'No backend has served you in the last 24 hours.',
    children: (rows) =>
      h(DataTable<BackendState>, {
        caption: 'Backends',
        isCompact: true,
        rows,
        columns,
        keyOf: ({ backend }) => backend,
      }),
  });
}

function restText({ cause, until, model, rule }: BackendRest): string {
  const of = [model === undefined ? '' : ` for ${model}`, rule === undefined ? '' : ` in ${rule}`].join('');
  return `rests${of} until ${shownMinute(until)} (${cause})`;
}
