/** A short summary at the top of the page: a few figures that lead to their sections. */
import { type ComponentChildren, h } from 'preact';
import type { Figure } from './figures.ts';

export function Summary({ figures }: { readonly figures: readonly Figure[] }): ComponentChildren {
  return h(
    'section',
    { 'aria-label': 'Summary', class: 'summary' },
    h(
      'dl',
      null,
      figures.map(({ name, value, note, section, isLate }) =>
        h(
          'div',
          { key: name },
          h('dt', null, h('a', { href: `#${section}` }, name)),
          h('dd', { class: isLate ? 'value late' : 'value' }, value),
          h('dd', { class: 'quiet' }, note),
        ),
      ),
    ),
  );
}
