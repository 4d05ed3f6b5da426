/**
 * Variables in `stringData` of a Secret, standalone only: `${NAME}` from the environment,
 * `${NAME:-default}` with a default for an unset or empty variable, `${file:PATH}` from a file
 * (without its last line break), `$${` for a literal `${`.
 */
export interface Lookup {
  environment(name: string): string | undefined;
  /** `from` is the file that contains `path`; relative paths start in its folder. */
  file(path: string, from: string): string | undefined;
}

export type Expanded = { readonly value: string } | { readonly missing: string; readonly fix: string };

export function expand(text: string, from: string, lookup: Lookup): Expanded {
  let missing: Expanded | undefined;
  const value = text.replace(
    /\$\$\{|\$\{(?:file:([^}]+)|([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?)\}/g,
    (whole, path: string | undefined, name: string | undefined, fallback: string | undefined) => {
      if (whole === '$${') {
        return '${';
      }
      if (path !== undefined) {
        const content = lookup.file(path, from);
        if (content === undefined) {
          missing ??= { missing: `the file ${path} cannot be read`, fix: 'create it, or correct the path' };
        }
        return content?.replace(/\r?\n$/, '') ?? '';
      }
      const set = lookup.environment(name ?? '');
      if (set !== undefined && (set !== '' || fallback === undefined)) {
        return set;
      }
      if (fallback === undefined) {
        missing ??= {
          missing: `the environment variable ${name} is not set`,
          fix: `export it, or write \${${name}:-default}`,
        };
      }
      return fallback ?? '';
    },
  );
  return missing ?? { value };
}
