/**
 * Variables in `stringData` of a Secret, filled in on one machine only: `${NAME}` from the environment, `${NAME:-default}` with a default for a variable
 * that is unset or empty, `${file:PATH}` from a file (without its last line break), `$${` for a plain `${`.
 */
export interface Lookup {
  environment(name: string): string | undefined;
  /** `from` is the file that mentions `path`; relative paths begin in its folder. */
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
