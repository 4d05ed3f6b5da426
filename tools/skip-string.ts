/**
 * Assembles `extproc/json/skip-string.wat` into the module that the processor loads. Stands alone,
 * because the other generators load the processor.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import wabt from 'wabt';

const folder = new URL('../extproc/json/', import.meta.url);

const { parseWat } = await wabt();
const source = readFileSync(new URL('skip-string.wat', folder), 'utf8');
const { buffer } = parseWat('skip-string.wat', source, { simd: true }).toBinary({});
const code = Buffer.from(buffer).toString('base64');
writeFileSync(
  new URL('skip-string-code.ts', folder),
  [
    '/** Assembled from `skip-string.wat` by `make generate`. Do not edit. */',
    '// biome-ignore format: one string.',
    `export const SKIP_STRING_CODE: string = '${code}';`,
    '',
  ].join('\n'),
);
