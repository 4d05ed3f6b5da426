/** Every bound of this room, with its reason. */

/** Containers inside each other. Real requests stay under 30 (JSON schemas of tools); parsers of providers stop between 100 and 10,000. */
export const MAX_DEPTH = 128;

/** Values of a request that are kept, over all paths: the longest conversations name some ten thousand, and so many are read in 5 ms. */
export const MAX_FOUND = 32_768;

/** The first of them are objects, which cost about 100 bytes each: more than most requests have. The rest are written down in some 5 bytes each. */
export const MAX_FOUND_AS_OBJECTS = 128;

/**
 * What is written down of values and spans of text may take half of the document's own bytes, and so much in any case: a body never costs twice its size.
 * A real part of a message has 28 bytes at least and costs 13.
 */
export const FREE_NOTES_BYTES = 8 * 1024;

/** Values of an answer or event that are kept for each path; what comes after them is only counted (an answer passes as it is). */
export const MAX_FOUND_PER_PATH = 1_024;

/** Text strings whose place is remembered, in some 3 bytes each. The largest tool definitions have some thousand strings and keys. */
export const MAX_TEXT_SPANS = 65_536;

/** Scanners of one shape that wait to be used again, some 10 KB each. One that has grown past so many spans or values is let go. */
export const MAX_IDLE_SCANNERS = 64;
export const MAX_IDLE_ENTRIES = 512;

/** Longer scalars (as written) are not decoded: model names, types and ids are shorter. */
export const MAX_VALUE_BYTES = 1_024;
