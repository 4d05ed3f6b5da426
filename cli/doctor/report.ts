/** Prints results for people or programs. */
import { styleText } from 'node:util';
import { printable, printableJsonLines } from '../terminal/printable.ts';
import { type CheckResult, type CheckState, checkStates } from './check-result.ts';

const TROUBLESHOOTING = 'docs/guides/troubleshooting.md';

const colours = { ok: 'green', warning: 'yellow', problem: 'red', unknown: 'yellow', 'not checked': 'gray' } as const;

const STATE_WIDTH = Math.max(...checkStates.map((state) => state.length));

/** Returns one JSON object per line. */
export function resultLines(results: readonly CheckResult[]): string {
  return printableJsonLines(
    results.map(({ section, ...result }) => ({
      ...result,
      ...(section !== undefined && { documentation: `${TROUBLESHOOTING}#${section}` }),
    })),
  );
}

/** Returns a line for each result, a second one with the fix, and a summary. */
export function resultReport(results: readonly CheckResult[], isColoured: boolean): string {
  const checkWidth = results.reduce((most, { check }) => Math.max(most, check.length), 0);
  const indent = ' '.repeat(STATE_WIDTH + 2 + checkWidth + 2);
  const lines = results.flatMap(({ state, check, text, fix, section }) => {
    const label = state.padEnd(STATE_WIDTH);
    const shown = isColoured ? styleText(colours[state], label, { validateStream: false }) : label;
    const first = `${shown}  ${check.padEnd(checkWidth)}  ${printable(text)}`;
    return fix === undefined
      ? [first]
      : [first, `${indent}fix: ${printable(fix)} (${TROUBLESHOOTING}#${section ?? ''})`];
  });
  return `${[...lines, '', summaryOf(results)].join('\n')}\n`;
}

function summaryOf(results: readonly CheckResult[]): string {
  const count = (wanted: CheckState) => results.filter(({ state }) => state === wanted).length;
  const [problems, warnings] = [count('problem'), count('warning')];
  const counted = (number: number, noun: string) => `${number} ${noun}${number === 1 ? '' : 's'}`;
  const others = `${count('unknown')} unknown, ${count('not checked')} not checked`;
  return `${counted(problems, 'problem')}, ${counted(warnings, 'warning')}, ${others}`;
}
