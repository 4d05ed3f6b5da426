import { createHash } from 'node:crypto';
import { isAlphanumeric } from '../characters.ts';
import type { FoldedText } from '../folded-text.ts';
import type { Recognizer } from '../recognizer.ts';

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const BECH32 = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
const LONGEST = 90;

/** Bitcoin (Base58Check and Bech32) by its checksum, Ethereum by its form. */
export const cryptoWallet: Recognizer = {
  type: 'CryptoWallet',
  anchors: '0',
  reach: 2,
  recognize(text, anchor, match) {
    match.start = anchor;
    const isSegwit = text.codes[anchor] === 0x31 && isWord(text, anchor - 2, 'bc');
    const start = isSegwit ? anchor - 2 : anchor;
    if (isAlphanumeric(text.at(start - 1))) {
      return false;
    }
    match.start = start;
    const first = text.codes[anchor]!;
    const isHexadecimal = first === 0x30 && (text.at(anchor + 1) | 0x20) === 0x78;
    if (!isSegwit && !isHexadecimal && first !== 0x31 && first !== 0x33) {
      return false;
    }
    let value = '';
    let index = start;
    for (let code = text.at(index); isAlphanumeric(code); code = text.at(index)) {
      value += String.fromCharCode(code);
      index += 1;
      if (value.length > LONGEST) {
        return false;
      }
    }
    match.end = index;
    match.score = isHexadecimal ? 0.9 : 1;
    if (isHexadecimal) {
      return /^0x[\da-f]{40}$/i.test(value);
    }
    return isSegwit ? isBech32(value) : isBase58Check(value);
  },
  openTail(text) {
    for (const start of [text.length - 2, text.length - 1]) {
      const prefix = 'bc'.slice(0, text.length - start);
      if (start >= 0 && isWord(text, start, prefix) && !isAlphanumeric(text.at(start - 1))) {
        return start;
      }
    }
    return text.length;
  },
};

/** Returns whether a word in lower or upper case begins at `start`. */
function isWord(text: FoldedText, start: number, word: string): boolean {
  for (let index = 0; index < word.length; index += 1) {
    if (start < 0 || (text.codes[start + index]! | 0x20) !== word.charCodeAt(index)) {
      return false;
    }
  }
  return true;
}

/** https://en.bitcoin.it/wiki/Base58Check_encoding: 21 bytes and 4 of their double SHA-256. */
function isBase58Check(value: string): boolean {
  if (value.length < 26 || value.length > 35) {
    return false;
  }
  let number = 0n;
  for (const character of value) {
    const digit = BASE58.indexOf(character);
    if (digit < 0) {
      return false;
    }
    number = number * 58n + BigInt(digit);
  }
  const hex = number.toString(16).padStart(50, '0');
  if (hex.length > 50) {
    return false;
  }
  const bytes = Buffer.from(hex, 'hex');
  const digest = sha256(sha256(bytes.subarray(0, 21)));
  return digest.subarray(0, 4).equals(bytes.subarray(21));
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** The constants of Bech32 (BIP 173) and Bech32m (BIP 350). */
const CHECKSUMS = new Set([1, 0x2bc830a3]);
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];
/** `bc`, expanded as BIP 173 says. */
const EXPANDED_PREFIX = [3, 3, 0, 2, 3];

function isBech32(value: string): boolean {
  const isOneCase = value === value.toLowerCase() || value === value.toUpperCase();
  if (value.length < 42 || !isOneCase) {
    return false;
  }
  let checksum = 1;
  const data = [...value.slice(3).toLowerCase()].map((character) => BECH32.indexOf(character));
  for (const digit of [...EXPANDED_PREFIX, ...data]) {
    if (digit < 0) {
      return false;
    }
    const top = checksum >>> 25;
    checksum = ((checksum & 0x1ffffff) << 5) ^ digit;
    for (let bit = 0; bit < GENERATOR.length; bit += 1) {
      checksum ^= (top >> bit) & 1 ? GENERATOR[bit]! : 0;
    }
  }
  return CHECKSUMS.has(checksum);
}
