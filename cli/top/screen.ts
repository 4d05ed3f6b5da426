/** The screen of `tallygate top`, as lines that fit into the terminal. */
import { table } from '../table.ts';
import { printable } from '../terminal/printable.ts';
import { columnsUpTo, fitted, lineOf, padded, type StyledText } from '../terminal/text.ts';
import type { TopSection } from './sections.ts';

export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

export interface TopView {
  readonly sections: readonly TopSection[];
  /** Such as the name of the gateway and the time. */
  readonly title: string;
  readonly selected: number;
  /** Of the selected section. */
  readonly row: number;
  /** Stands in the last line: a question, an outcome or a problem. */
  readonly message?: string;
}

const KEYS = 'q quit   tab section   up/down row   s stop the request';
/** Of a cell whose column has to shrink. */
const LEAST_COLUMNS = 6;
const MOST_COLUMNS = 60;
const GAP = '  ';
/** Of a section with a title, the heads of its columns and a row. */
const OPEN_LINES = 3;

/** Returns as many lines as the screen has rows, without line ends. */
export function screenLines(view: TopView, { columns, rows }: ScreenSize, colored: boolean): readonly string[] {
  const line = (...parts: readonly StyledText[]) => lineOf(parts, columns, colored);
  const space = Math.max(0, rows - 2);
  const heights = sectionHeights(view, space);
  const body = view.sections.flatMap((section, at) => {
    const isSelected = at === view.selected;
    return sectionLines(section, { columns, rows: heights[at]! }, isSelected ? view.row : undefined).map((parts) =>
      line(...parts),
    );
  });
  const filled = [...body, ...Array<string>(Math.max(0, space - body.length)).fill('')].slice(0, space);
  const last =
    view.message === undefined
      ? { text: KEYS, style: 'dim' as const }
      : { text: printable(view.message), style: 'bold' as const };
  return [line({ text: printable(view.title), style: 'bold' }), ...filled, line(last)].slice(0, rows);
}

/**
 * Gives each section a row, then the selected one what it needs, then the others what is left. On a
 * small screen, the others have their titles only, as far as there is space.
 */
function sectionHeights({ sections, selected }: TopView, space: number): readonly number[] {
  if (space < OPEN_LINES * sections.length) {
    const titles = Math.max(0, Math.min(sections.length - 1, space - OPEN_LINES));
    const hasTitle = (at: number) => (at < selected ? at : at - 1) < titles;
    return sections.map((_, at) => (at === selected ? space - titles : hasTitle(at) ? 1 : 0));
  }
  const heights = sections.map((): number => OPEN_LINES);
  let left = space - OPEN_LINES * sections.length;
  for (const at of [selected, ...sections.keys().filter((other) => other !== selected)]) {
    const more = Math.min(left, Math.max(0, sections[at]!.rows.length - 1));
    heights[at] = OPEN_LINES + more;
    left -= more;
  }
  return heights;
}

/** `row`: the selected one, if the section is. */
function sectionLines(
  section: TopSection,
  { columns, rows }: ScreenSize,
  row: number | undefined,
): readonly (readonly StyledText[])[] {
  const isSelected = row !== undefined;
  const count = section.total === 0 ? '' : ` (${section.total})`;
  const name = `${isSelected ? '>' : ' '} ${section.title}${count}`;
  const title: readonly StyledText[] = [{ text: name, style: isSelected ? ['bold', 'cyan'] : 'bold' }];
  if (rows < 2) {
    return [title].slice(0, rows);
  }
  if (section.rows.length === 0) {
    return [title, [{ text: `  ${section.empty}`, style: 'dim' }]];
  }
  const shown = rows - 2;
  const first = Math.max(0, Math.min((row ?? 0) - Math.floor(shown / 2), section.rows.length - shown));
  const visible = section.rows.slice(first, first + shown);
  const widths = columnWidths(section, columns - GAP.length);
  const cellsOf = (cells: readonly string[]) =>
    widths
      .map((width, at) => {
        const { align, keepEnd } = section.columns[at]!;
        return padded(keepEnd ? endOf(cells[at]!, width) : cells[at]!, width, align);
      })
      .join(GAP);
  const lines = visible.map(({ cells, style }, at): readonly StyledText[] => {
    const isCursor = first + at === row;
    const text = `${isCursor ? '* ' : '  '}${cellsOf(cells)}`;
    return [
      isCursor ? { text: padded(text, columns), style: 'inverse' } : { text: text.trimEnd(), ...(style && { style }) },
    ];
  });
  const heads = fitted(`  ${cellsOf(section.columns.map(({ head }) => head))}`.trimEnd(), columns);
  return [title, [{ text: heads, style: 'dim' }], ...lines];
}

/** Returns the end of the name of a pod, which is ASCII. */
function endOf(name: string, columns: number): string {
  return name.length <= columns ? name : `…${name.slice(name.length - columns + 1)}`;
}

/** Shrinks the widest columns of words, and leaves out the last columns if that is not enough. */
export function columnWidths({ columns, rows }: TopSection, space: number): readonly number[] {
  const widths = columns.map(({ head }, at) =>
    rows.reduce((most, { cells }) => Math.max(most, columnsUpTo(cells[at]!, MOST_COLUMNS)), head.length),
  );
  const taken = () => widths.reduce((sum, width) => sum + width + GAP.length, -GAP.length);
  while (widths.length > 1 && taken() > space) {
    const wide = widths
      .map((width, at) => ({ width, at }))
      .filter(({ width, at }) => columns[at]!.align !== 'end' && width > LEAST_COLUMNS)
      .sort((one, other) => other.width - one.width)[0];
    if (wide === undefined) {
      widths.pop();
    } else {
      widths[wide.at] = wide.width - 1;
    }
  }
  return widths;
}

/** Returns all sections as tables, for an output that is no terminal. */
export function plainText(sections: readonly TopSection[]): string {
  return sections
    .map(({ title, columns, rows, empty, total }) => {
      const heads = columns.map(({ head }) => head);
      const body =
        rows.length === 0
          ? `${empty}\n`
          : table(
              heads,
              rows.map(({ cells }) => cells),
            );
      return `${title}${total > rows.length ? ` (${rows.length} of ${total})` : ''}\n${body}`;
    })
    .join('\n');
}
