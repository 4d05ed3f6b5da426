/** One access line as a line for people. */
import { printable } from '../terminal/printable.ts';
import { padded, type StyledText, type TextStyle } from '../terminal/text.ts';
import type { AccessEntry } from './access-entry.ts';
import { isError } from './filter.ts';

const SLOW_MS = 10_000;

/** Returns the parts of the line, what matters most first; `pod`: the one that wrote the line. */
export function entryParts(entry: AccessEntry, pod?: string): readonly StyledText[] {
  const { time, status, durationMs, tenants, user, model, backend, route, requestId } = entry;
  const parts: StyledText[] = [
    { text: /^[\d-]{10}T([\d:]{8})/.exec(time)?.[1] ?? '--:--:--', style: 'dim' },
    { text: padded(status === undefined ? '---' : String(status), 3), style: statusStyle(entry) },
    { text: padded(shownSpan(durationMs), 6, 'end'), ...(durationMs >= SLOW_MS && { style: 'yellow' }) },
    {
      text: padded(printable([tenants[0], user].filter((name) => name !== undefined).join('/') || '-'), 16),
      style: 'cyan',
    },
    { text: printable(`${model ?? entry.operation ?? '-'}${backend === undefined ? '' : ` > ${backend}`}`) },
  ];
  const { inputTokens, outputTokens, cost, currency = '' } = entry;
  if (inputTokens !== undefined || outputTokens !== undefined) {
    parts.push({ text: `${inputTokens ?? 0}+${outputTokens ?? 0} tokens` });
  }
  if (cost !== undefined) {
    parts.push({ text: printable(`${cost} ${currency}`.trim()), style: 'green' });
  }
  for (const note of notesOf(entry)) {
    parts.push({ text: printable(note), style: isError(entry) ? 'red' : 'yellow' });
  }
  for (const text of [route, requestId, pod]) {
    if (text !== undefined) {
      parts.push({ text: printable(text), style: 'dim' });
    }
  }
  return parts.flatMap((part, at) => (at === 0 ? [part] : [{ text: at > 3 ? '  ' : ' ' }, part]));
}

/** Returns the parts of a line that is no access line. */
export function unknownParts(line: string, pod?: string): readonly StyledText[] {
  return [
    { text: pod === undefined ? '? ' : `? ${printable(pod)}: `, style: 'yellow' },
    { text: printable(line), style: 'dim' },
  ];
}

function notesOf(entry: AccessEntry): readonly string[] {
  const { decision, error, reason, quota, stoppedBy, backendFailure, failover, guardActions } = entry;
  const refusal = [decision, reason, quota].filter((word) => word !== undefined).join(' ');
  const notes = [
    decision === 'admitted' || decision === 'none' ? undefined : refusal,
    error,
    stoppedBy === undefined ? undefined : `stopped by ${stoppedBy}`,
    entry.clientLeft ? 'client left' : undefined,
    backendFailure === undefined ? undefined : `backend ${backendFailure}`,
    failover === undefined ? undefined : `failover ${failover}`,
    entry.hasOverdraft ? 'overdraft' : undefined,
    guardActions.length === 0 ? undefined : `guardrails ${guardActions.join()}`,
  ];
  return notes.filter((note) => note !== undefined);
}

function statusStyle(entry: AccessEntry): TextStyle {
  const { status = 0 } = entry;
  if (status >= 500 || (status < 400 && isError(entry))) {
    return 'red';
  }
  return status >= 400 || entry.decision === 'cut' ? 'yellow' : 'green';
}

function shownSpan(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)}ms` : `${(ms / 1000).toFixed(ms < 100_000 ? 1 : 0)}s`;
}
