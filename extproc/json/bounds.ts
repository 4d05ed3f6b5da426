/** Every bound of this room, with its reason. */

/**
 * Nesting depth. Real requests stay under 30 (JSON schemas of tools); parsers of providers
 * stop between 100 and 10,000.
 */
export const MAX_DEPTH = 128;

/**
 * Values of a request that are kept, over all paths. The longest conversations name some ten
 * thousand, which are read in 5 ms.
 */
export const MAX_FOUND = 32_768;

/**
 * Values kept as objects, which cost about 100 bytes each: more than most requests have. The rest
 * are encoded in some 5 bytes each.
 */
export const MAX_FOUND_AS_OBJECTS = 128;

/**
 * Encoded values and text spans may take half of the document's bytes plus this amount, so a body
 * never costs twice its size. A real part of a message has at least 28 bytes and costs 13.
 */
export const FREE_NOTES_BYTES = 8 * 1024;

/**
 * Values of an answer that are kept for each path. Further values are only counted: an answer
 * passes unchanged.
 */
export const MAX_FOUND_PER_PATH = 1_024;

/**
 * Text spans that are remembered, in some 3 bytes each. The largest tool definitions have some
 * thousand strings and keys.
 */
export const MAX_TEXT_SPANS = 65_536;

/**
 * Idle scanners per shape, some 10 KB each. A scanner that has grown past this many spans or values
 * is dropped.
 */
export const MAX_IDLE_SCANNERS = 64;
export const MAX_IDLE_ENTRIES = 512;

/** Longer scalars (as written) are not decoded: model names, types and ids are shorter. */
export const MAX_VALUE_BYTES = 1_024;
