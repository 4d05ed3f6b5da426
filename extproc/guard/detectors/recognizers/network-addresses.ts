import { isAlphanumeric, isDigit } from '../characters.ts';
import { END, type FoldedText } from '../folded-text.ts';
import type { Recognizer } from '../recognizer.ts';
import { continuesNumber } from './grouped-number.ts';

function isHex(code: number): boolean {
  const letter = code | 0x20;
  return isDigit(code) || (letter >= 0x61 && letter <= 0x66 && code !== END);
}

/** Addresses such as `203.0.113.7`, except for 0.0.0.0 and those of the own host (127.0.0.0/8). */
export const ipv4Address: Recognizer = {
  type: 'IPAddress',
  anchors: '0',
  canFollow: (before, first) => !isAlphanumeric(before) && first !== 0x30,
  hasRun: (run) => run <= 3,
  reach: 0,
  recognize(text, anchor, match) {
    match.start = anchor;
    if (continuesNumber(text, anchor)) {
      return false;
    }
    let index = anchor;
    let first = 0;
    for (let part = 0; part < 4; part += 1) {
      let value = 0;
      const start = index;
      for (let code = text.at(index); isDigit(code) && index - start < 4; code = text.at(index)) {
        value = value * 10 + code - 0x30;
        index += 1;
      }
      const hasLeadingZero = index - start > 1 && text.codes[start] === 0x30;
      if (index === start || value > 255 || hasLeadingZero) {
        return false;
      }
      first = part === 0 ? value : first;
      if (part < 3 && text.at(index) !== 0x2e) {
        return false;
      }
      index += part < 3 ? 1 : 0;
    }
    match.end = index;
    match.score = 0.9;
    const after = text.at(index);
    const goesOn = isAlphanumeric(after) || (after === 0x2e && isDigit(text.at(index + 1)));
    return !goesOn && first !== 127 && first !== 0;
  },
};

const GROUPS = 8;

/** Addresses of eight groups, or with `::` and at least one digit, except for `::1`. */
export const ipv6Address: Recognizer = {
  type: 'IPAddress',
  anchors: ':',
  reach: 4,
  recognize(text, anchor, match) {
    match.start = anchor;
    const start = hexStart(text, anchor, 4);
    const before = text.at(start - 1);
    if (isAlphanumeric(before) || before === 0x3a || (before === 0x2e && isDigit(text.at(start - 2)))) {
      return false;
    }
    match.start = start;
    let index = start;
    let groups = 0;
    let hasGap = false;
    let digits = 0;
    let end = start;
    while (groups <= GROUPS) {
      const group = index;
      while (index - group < 5 && isHex(text.at(index))) {
        digits += isDigit(text.codes[index]!) ? 1 : 0;
        index += 1;
      }
      if (index - group > 4 || isAlphanumeric(text.at(index))) {
        return false;
      }
      if (index > group) {
        groups += 1;
        end = index;
      }
      if (text.at(index) !== 0x3a) {
        break;
      }
      if (text.at(index + 1) === 0x3a) {
        if (hasGap || text.at(index + 2) === 0x3a) {
          return false;
        }
        hasGap = true;
        index += 2;
        end = index;
      } else if (index === group || !isHex(text.at(index + 1))) {
        break;
      } else {
        index += 1;
      }
    }
    match.end = end;
    match.score = 0.9;
    return hasGap ? groups > 1 && groups < GROUPS && digits > 0 : groups === GROUPS;
  },
  openTail: (text) => hexTail(text, 4),
};

/** Addresses such as `00:1a:2b:3c:4d:5e`, with colons or hyphens. */
export const macAddress: Recognizer = {
  type: 'MACAddress',
  anchors: ':-',
  canFollow: isHex,
  reach: 2,
  recognize(text, anchor, match) {
    match.start = anchor;
    const separator = text.codes[anchor]!;
    const start = hexStart(text, anchor, 2);
    const before = text.at(start - 1);
    if (start !== anchor - 2 || isAlphanumeric(before) || before === separator) {
      return false;
    }
    match.start = start;
    for (let part = 0; part < 6; part += 1) {
      const index = start + part * 3;
      if (!isHex(text.at(index)) || !isHex(text.at(index + 1))) {
        return false;
      }
      if (part < 5 && text.at(index + 2) !== separator) {
        return false;
      }
    }
    match.end = start + 17;
    match.score = 0.95;
    const after = text.at(match.end);
    return !isAlphanumeric(after) && !(after === separator && isHex(text.at(match.end + 1)));
  },
  openTail: (text) => hexTail(text, 2),
};

/** Returns where the hexadecimal digits before `end` begin, of which there are at most `most`. */
function hexStart(text: FoldedText, end: number, most: number): number {
  let start = end;
  while (start > 0 && end - start <= most && isHex(text.codes[start - 1]!)) {
    start -= 1;
  }
  return end - start > most ? end : start;
}

function hexTail(text: FoldedText, most: number): number {
  const start = hexStart(text, text.length, most);
  return isAlphanumeric(text.at(start - 1)) ? text.length : start;
}
