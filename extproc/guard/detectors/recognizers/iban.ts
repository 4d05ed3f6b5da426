import { isAlpha, isAlphanumeric, isDigit } from '../characters.ts';
import type { FoldedText } from '../folded-text.ts';
import type { Recognizer } from '../recognizer.ts';

/** The lengths of each country's numbers: the IBAN registry (ISO 13616), release 99. */
const registry =
  'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ' +
  'ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 ' +
  'LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 ' +
  'PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30';

/** The length at the two letters of a country; 0 where there is none. */
const lengths = new Uint8Array(32 * 32);
for (const entry of registry.split(' ')) {
  lengths[countryIndex(entry.charCodeAt(0), entry.charCodeAt(1))] = Number(entry.slice(2));
}

/** Returns the index of two letters of either case. */
function countryIndex(first: number, second: number): number {
  return ((first & 0x1f) << 5) | (second & 0x1f);
}

/** Country, check digits, account; in groups of four or without spaces. */
export const iban: Recognizer = {
  type: 'IBAN',
  anchors: '0',
  canFollow: isAlpha,
  reach: 2,

  recognize(text, anchor, match) {
    match.start = anchor;
    const start = anchor - 2;
    const length = lengthAt(text, start);
    if (length === 0 || isAlphanumeric(text.at(start - 1))) {
      return false;
    }
    match.start = start;
    const end = endOf(text, start, length);
    match.end = end;
    match.score = 1;
    return end > 0;
  },

  openTail(text) {
    for (const start of [text.length - 2, text.length - 1]) {
      if (start >= 0 && isAlpha(text.codes[start]!) && !isAlphanumeric(text.at(start - 1))) {
        return start === text.length - 2 && lengthAt(text, start) === 0 ? text.length : start;
      }
    }
    return text.length;
  },
};

/** Returns the length of the numbers of the country at `start`; 0 if there is none. */
function lengthAt(text: FoldedText, start: number): number {
  const first = text.codes[start] ?? 0;
  const second = text.codes[start + 1] ?? 0;
  if (start < 0 || start + 1 >= text.length || !isAlpha(first) || !isAlpha(second)) {
    return 0;
  }
  return lengths[countryIndex(first, second)]!;
}

/** Returns the end of a number of this length whose check digits fit; 0 if there is none. */
function endOf(text: FoldedText, start: number, length: number): number {
  let index = start;
  let rest = 0;
  let head = 0;
  for (let count = 0; count < length; index += 1) {
    const code = text.at(index);
    if (code === 0x20 || code === 0x2d) {
      if (count < 4 || text.codes[index - 1] === code) {
        return 0;
      }
      continue;
    }
    const isNumber = isDigit(code);
    if (!(isNumber || (isAlpha(code) && count !== 2 && count !== 3))) {
      return 0;
    }
    const value = isNumber ? code - 0x30 : (code & 0xdf) - 0x37;
    // The first four characters count as the last ones.
    if (count < 4) {
      head = head * (isNumber ? 10 : 100) + value;
    } else {
      rest = (rest * (isNumber ? 10 : 100) + value) % 97;
    }
    count += 1;
  }
  const isWhole = !isAlphanumeric(text.at(index));
  return isWhole && (rest * 1_000_000 + head) % 97 === 1 ? index : 0;
}
