/** Where records of usage are exported to. */

export interface UsageExportTarget {
  readonly type: 'otlp' | 'cloudevents';
  readonly url: string;
}

export type ExportHeaders = Readonly<Record<string, string>>;

/** Reads `otlp+URL` and `cloudevents+URL`, separated by commas; undefined: the form is wrong. */
export function parseExportTargets(text: string): readonly UsageExportTarget[] | undefined {
  const targets: UsageExportTarget[] = [];
  for (const part of text.split(',')) {
    const match = /^(otlp|cloudevents)\+(https?:\/\/\S+)$/.exec(part.trim());
    const url = match === null ? null : URL.parse(match[2]!);
    if (url === null || url.username !== '' || url.hash !== '') {
      return undefined;
    }
    targets.push({ type: match![1] as UsageExportTarget['type'], url: url.href });
  }
  return targets;
}

/**
 * Reads `name=value` separated by commas, with percent-encoded values, as the variables of
 * OpenTelemetry; undefined: the form is wrong.
 */
export function parseExportHeaders(text: string): ExportHeaders | undefined {
  const headers: [string, string][] = [];
  for (const part of text.split(',')) {
    const match = /^\s*([\w!#$%&'*+.^`|~-]+)\s*=\s*(\S+)\s*$/.exec(part);
    if (match === null) {
      return undefined;
    }
    try {
      const value = decodeURIComponent(match[2]!);
      if (/\p{Cc}/u.test(value)) {
        return undefined;
      }
      headers.push([match[1]!.toLowerCase(), value]);
    } catch {
      return undefined;
    }
  }
  return Object.fromEntries(headers);
}
