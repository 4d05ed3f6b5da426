/** Bounds of the policy push: who connects may be anybody in the cluster until its token has been reviewed. */

/** One for each proxy pod, and as many again while pods roll. */
export const MAX_CONNECTIONS = 4096;
/**
 * Connections whose peer has not shown a good token yet: of all, and of one address. Past either, the oldest that has shown no token at all gives way, of the
 * address that has most of them.
 */
export const MAX_STRANGERS = 256;
export const MAX_STRANGERS_OF_ADDRESS = 16;
/** How long such a connection may take for its TLS handshake and the token; a sidecar takes some ten milliseconds. */
export const SILENT_LIFE_MS = 3_000;
/** How long it may live: handshake, token, its review, and Hello. */
export const STRANGER_LIFE_MS = 10_000;
/** Bad tokens of one address in a window; past it the address is not listened to until the window ends. */
export const MAX_BAD_TOKENS_OF_ADDRESS = 20;
export const BAD_TOKENS_WINDOW_MS = 10_000;
/** Reviews at the API server at one time. */
export const MAX_REVIEWS = 32;
export const REVIEW_TIMEOUT_MS = 10_000;
/** Tokens of service accounts have about 1 KB. */
export const MAX_TOKEN_CHARACTERS = 16_384;
/** On one connection: a sidecar that opens anew before its old stream has ended. */
export const MAX_STREAMS_OF_CONNECTION = 2;
/** What a sidecar sends is small: a config check has at most some dozen names. */
export const MAX_SIDECAR_MESSAGE_BYTES = 256 * 1024;
/** 1,000 routes are about 1 MB. */
export const MAX_POLICY_BYTES = 64 * 1024 * 1024;
/** A sidecar that does not answer a policy is taken for stuck. */
export const ANSWER_TIMEOUT_MS = 30_000;
/** Tokens are reviewed again before they are an hour old. */
export const MAX_STREAM_AGE_MS = 50 * 60_000;
/** A sidecar whose stream has ended counts as there for so long, for it comes back at once. */
export const LINGER_MS = 3000;
/** A dead peer is noticed after both. */
export const KEEPALIVE_TIME_MS = 10_000;
export const KEEPALIVE_TIMEOUT_MS = 5000;
