/** Parses the part of the Prometheus text format that the tests need. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export class Metrics {
  readonly samples: readonly Sample[];

  constructor(text: string) {
    this.samples = text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map(sample);
  }

  /** Returns the sum of all samples of that name with these labels. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    return this.all(name, labels).reduce((sum, one) => sum + one.value, 0);
  }

  /** Returns the tokens and requests that are held now, in all buckets or in those of one key. */
  held(key = ''): number {
    return this.all('tallygate_quota_held')
      .filter((one) => key === '' || Object.values(one.labels).some((value) => value.includes(key)))
      .reduce((sum, one) => sum + one.value, 0);
  }

  all(name: string, labels: Readonly<Record<string, string>> = {}): readonly Sample[] {
    return this.samples.filter(
      (one) => one.name === name && Object.entries(labels).every(([key, value]) => one.labels[key] === value),
    );
  }
}

function sample(line: string): Sample {
  const match = line.match(/^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/);
  if (match === null) {
    throw new Error(`not a Prometheus sample: ${line}`);
  }
  const labels: Record<string, string> = {};
  for (const [, key, value] of (match[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
    if (key !== undefined) {
      labels[key] = (value ?? '').replace(/\\(.)/g, (_, escaped) => (escaped === 'n' ? '\n' : escaped));
    }
  }
  return { name: match[1] ?? '', labels, value: Number(match[3]?.replace('+Inf', 'Infinity')) };
}
