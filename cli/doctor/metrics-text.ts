/** One series of a metric in Prometheus text. */
export interface MetricSample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export type MetricSamples = ReadonlyMap<string, readonly MetricSample[]>;

/** Reads the text of /metrics; lines of another form are ignored. */
export function readMetrics(text: string): MetricSamples {
  const samples = new Map<string, MetricSample[]>();
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
    if (name === undefined) {
      continue;
    }
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
    const sample = {
      labels: Object.fromEntries(pairs.map(([, label, text]): [string, string] => [label!, unescaped(text!)])),
      value: Number(value),
    };
    const known = samples.get(name);
    if (known === undefined) {
      samples.set(name, [sample]);
    } else {
      known.push(sample);
    }
  }
  return samples;
}

function unescaped(text: string): string {
  return text.replaceAll(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
}
