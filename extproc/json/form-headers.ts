/** Reads the headers of one part of a form. */

interface PartHeaders {
  readonly name: string;
  readonly isFile: boolean;
}

const PARAMETER = /\s*;\s*([A-Za-z*]+)=("[^"\\]*"|[^\s;"]+)/y;
const OTHER_CHARSET = /charset\s*=\s*"?(?!utf-?8)/i;
const PLAIN_ENCODING = /^(7bit|8bit|binary)$/i;

/** Returns what is wrong where two parsers may read the headers differently. */
export function partHeaders(text: string): PartHeaders | string {
  let found: PartHeaders | undefined;
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(0, colon)).toLowerCase();
    if (!/^[a-z0-9-]+$/.test(name) || /[\r\n\0]/.test(line)) {
      return 'has a part with invalid headers';
    }
    const value = line.slice(colon + 1).trim();
    if (name === 'content-disposition') {
      const disposition = found === undefined ? dispositionOf(value) : undefined;
      if (disposition === undefined) {
        return 'has a part without one plain content-disposition';
      }
      found = disposition;
    } else if (name === 'content-transfer-encoding' && !PLAIN_ENCODING.test(value)) {
      return 'has a part in a transfer encoding';
    } else if (name === 'content-type' && OTHER_CHARSET.test(value)) {
      return 'has a part that is not UTF-8';
    }
  }
  return found ?? 'has a part without one plain content-disposition';
}

function dispositionOf(value: string): PartHeaders | undefined {
  const type = /^form-data/i.exec(value);
  if (type === null) {
    return undefined;
  }
  const parameters = new Map<string, string>();
  PARAMETER.lastIndex = type[0].length;
  let end = PARAMETER.lastIndex;
  for (let match = PARAMETER.exec(value); match !== null; match = PARAMETER.exec(value)) {
    const key = match[1]!.toLowerCase();
    if (parameters.has(key)) {
      return undefined;
    }
    parameters.set(key, match[2]!.replace(/^"|"$/g, ''));
    end = PARAMETER.lastIndex;
  }
  const name = parameters.get('name');
  const isPlain = end === value.length && !parameters.has('name*');
  const isFile = parameters.has('filename') || parameters.has('filename*');
  return name === undefined || !isPlain ? undefined : { name, isFile };
}
