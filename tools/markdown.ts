/** Writes Markdown for the generated pages, and reads the blocks of the written ones for tests. */

export function notice(source: string): string {
  return `<!-- Generated from ${source} by \`make generate\`. Do not edit. -->`;
}

export function page(...sections: readonly string[]): string {
  return `${sections.join('\n\n')}\n`;
}

export function row(...cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
}

export function table(head: readonly string[], rows: readonly string[]): string {
  return [row(...head), `|${'---|'.repeat(head.length)}`, ...rows].join('\n');
}

export interface MarkdownBlock {
  readonly file: string;
  /** The line number of the first line of content. */
  readonly line: number;
  readonly language: string;
  /** The words after the language, which tell the tests what to do with the block. */
  readonly marks: readonly string[];
  readonly text: string;
}

/** Returns the fenced code blocks of a page. */
export function blocksOf(file: string, markdown: string): readonly MarkdownBlock[] {
  const blocks: MarkdownBlock[] = [];
  let open: { readonly line: number; readonly info: string; readonly lines: string[] } | undefined;
  for (const [index, line] of markdown.split('\n').entries()) {
    if (open === undefined) {
      const fence = /^```(.+)$/.exec(line);
      if (fence) {
        open = { line: index + 2, info: fence[1]!.trim(), lines: [] };
      }
    } else if (line === '```') {
      const [language = '', ...marks] = open.info.split(' ');
      blocks.push({ file, line: open.line, language, marks, text: `${open.lines.join('\n')}\n` });
      open = undefined;
    } else {
      open.lines.push(line);
    }
  }
  return blocks;
}
