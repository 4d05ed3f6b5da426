/** Which backends serve requests, and why others rest. */
import { type ComponentChildren, h } from 'preact';
import type { BackendRest, BackendState, Bounded } from '../api/source.ts';
import { shownTime } from './format.ts';
import { type Column, DataTable, Section } from './parts.ts';
import { usePolled } from './polled.ts';

const EVERY_MS = 5_000;

const columns: readonly Column<BackendState>[] = [
  { head: 'backend', cell: ({ backend }) => backend },
  {
    head: 'state',
    cell: ({ rests }) =>
      rests.length === 0 ? 'healthy' : h('span', { class: 'late' }, rests.map(restText).join('; ')),
  },
];

export function BackendsSection(): ComponentChildren {
  return h(Section<BackendState>, {
    id: 'backends',
    title: 'Backends',
    polled: usePolled<Bounded<BackendState>>('backends', EVERY_MS),
    empty: 'No backend has served you in the last 24 hours.',
    children: (rows) =>
      h(DataTable<BackendState>, { caption: 'Backends', rows, columns, keyOf: ({ backend }) => backend }),
  });
}

function restText({ cause, until, model, rule }: BackendRest): string {
  const of = [model === undefined ? '' : ` for ${model}`, rule === undefined ? '' : ` in ${rule}`].join('');
  return `rests${of} until ${shownTime(until)} (${cause})`;
}
