/** Every bound of this room, with its reason. */

/** Containers inside each other. Real requests stay under 30 (JSON schemas of tools); parsers of providers stop between 100 and 10,000. */
export const MAX_DEPTH = 128;

/** Values of a request that are kept, over all paths: each costs about 100 bytes, and the longest conversations name some ten thousand. */
export const MAX_FOUND = 32_768;

/** Values of an answer or event that are kept for each path; what comes after them is only counted (an answer passes as it is). */
export const MAX_FOUND_PER_PATH = 1_024;

/** Text strings whose place is remembered: 8 bytes each, 80 as tuples. The largest tool definitions have some thousand strings and keys. */
export const MAX_TEXT_SPANS = 65_536;

/** Scanners of one shape that wait to be used again, some 10 KB each. One that has grown past so many spans or values is let go. */
export const MAX_IDLE_SCANNERS = 64;
export const MAX_IDLE_ENTRIES = 512;

/** Longer scalars (as written) are not decoded: model names, types and ids are shorter. */
export const MAX_VALUE_BYTES = 1_024;
