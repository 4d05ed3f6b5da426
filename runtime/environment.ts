/**
 * Reads environment variables by a list with the form of each. Returns a problem for each wrong
 * value, which names the variable and the fix.
 */

export interface Variable<T> {
  /** What the value must be, for the message: "a port from 0 to 65535". */
  readonly form: string;
  /** Returns undefined for a value that does not have the form. */
  readonly parse: (text: string) => T | undefined;
  readonly fallback: T;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export type Values<V extends Readonly<Record<string, Variable<unknown>>>> = {
  readonly [K in keyof V]: V[K] extends Variable<infer T> ? T : never;
};

/** Treats empty variables as absent. Problems never contain values, which may be secrets. */
export function readEnvironment<V extends Readonly<Record<string, Variable<unknown>>>>(
  variables: V,
  environment: Environment,
): { readonly values: Values<V>; readonly problems: readonly string[] } {
  const values: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [name, variable] of Object.entries(variables)) {
    const text = environment[name];
    const parsed = text ? variable.parse(text) : variable.fallback;
    if (text && parsed === undefined) {
      problems.push(`${name} must be ${variable.form}; correct it or unset it`);
    }
    values[name] = parsed ?? variable.fallback;
  }
  return { values: values as Values<V>, problems };
}

export function text(fallback: string): Variable<string> {
  return { form: 'a text', parse: (value) => value, fallback };
}

export function optionalText(): Variable<string | undefined> {
  return { form: 'a text', parse: (value) => value, fallback: undefined };
}

export function oneOf<const T extends string>(allowed: readonly T[], fallback: T): Variable<T> {
  return { form: `one of ${allowed.join(', ')}`, parse: (value) => allowed.find((one) => one === value), fallback };
}

export function wholeNumber(least: number, most: number, fallback: number): Variable<number> {
  return {
    form: `a whole number from ${least} to ${most}`,
    parse: (value) => {
      const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
      return number >= least && number <= most ? number : undefined;
    },
    fallback,
  };
}

/** Values of a list, separated by commas. */
export function listOf<const T extends string>(allowed: readonly T[], fallback: readonly T[]): Variable<readonly T[]> {
  return {
    form: `some of ${allowed.join(', ')}, separated by commas`,
    parse: (value) => {
      const words = value.split(',').map((word) => allowed.find((one) => one === word.trim()));
      return words.includes(undefined) ? undefined : (words as T[]);
    },
    fallback,
  };
}

export function ratio(fallback: number): Variable<number> {
  return {
    form: 'a number from 0 to 1',
    parse: (value) => (/^(0|1|0?\.\d{1,15}|1\.0+|0\.0+)$/.test(value) ? Number(value) : undefined),
    fallback,
  };
}

/** Where a server listens: `HOST:PORT`, `:PORT` (all addresses) or `unix:PATH`. */
export type Address =
  | { readonly type: 'tcp'; readonly host: string; readonly port: number }
  | { readonly type: 'unix'; readonly path: string };

export function address(fallback: Address): Variable<Address> {
  return { form: 'HOST:PORT, :PORT or unix:PATH', parse: parseAddress, fallback };
}

export function parseAddress(value: string): Address | undefined {
  if (value.startsWith('unix:')) {
    return value.length > 5 ? { type: 'unix', path: value.slice(5) } : undefined;
  }
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]*):(\d{1,5})$/.exec(value);
  const port = Number(match?.[2]);
  if (!match || port > 65535) {
    return undefined;
  }
  const host = match[1]!.replace(/^\[|\]$/g, '');
  return { type: 'tcp', host: host || '::', port };
}
