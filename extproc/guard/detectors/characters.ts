/** Classes of the codes of folded text. */
const DIGIT = 1;
const ALPHA = 2;

const classes = new Uint8Array(256);
for (let code = 0; code < 128; code += 1) {
  const character = String.fromCharCode(code);
  classes[code] = (/\d/.test(character) ? DIGIT : 0) | (/[a-z]/i.test(character) ? ALPHA : 0);
}

export function isDigit(code: number): boolean {
  return (classes[code]! & DIGIT) !== 0;
}

export function isAlpha(code: number): boolean {
  return (classes[code]! & ALPHA) !== 0;
}

export function isAlphanumeric(code: number): boolean {
  return (classes[code]! & (DIGIT | ALPHA)) !== 0;
}

/** Returns a table of the codes that a pattern for one character accepts. */
export function codeTable(pattern: RegExp): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => (code < 128 && pattern.test(String.fromCharCode(code)) ? 1 : 0));
}
