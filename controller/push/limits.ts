/**
 * Bounds of the policy push. A peer may be anybody in the cluster until its token has been
 * reviewed.
 */

/** One per proxy pod, twice that during a rollout. */
export const MAX_CONNECTIONS = 4096;
/**
 * Connections whose peer is not authenticated yet, in total and per address. Beyond either bound,
 * the oldest connection without a token is closed, of the address that has most of them.
 */
export const MAX_STRANGERS = 256;
export const MAX_STRANGERS_OF_ADDRESS = 16;
/** For the TLS handshake and the token; a sidecar takes about ten milliseconds. */
export const SILENT_LIFE_MS = 3_000;
/** For the handshake, the token, its review, and Hello. */
export const STRANGER_LIFE_MS = 10_000;
/**
 * Bad tokens of one address in a window; beyond it, connections of the address are closed until the
 * window ends.
 */
export const MAX_BAD_TOKENS_OF_ADDRESS = 20;
export const BAD_TOKENS_WINDOW_MS = 10_000;
/** Concurrent token reviews at the API server. */
export const MAX_REVIEWS = 32;
export const REVIEW_TIMEOUT_MS = 10_000;
/** Tokens of service accounts have about 1,000 characters. */
export const MAX_TOKEN_CHARACTERS = 16_384;
/** Per connection: a sidecar may open a new stream before its old one has ended. */
export const MAX_STREAMS_OF_CONNECTION = 2;
/** Messages of sidecars are small: a config check has at most a few dozen names. */
export const MAX_SIDECAR_MESSAGE_BYTES = 256 * 1024;
/** Requests of a sidecar to fetch keys, in a window; more are ignored. A sidecar sends fewer. */
export const MAX_KEY_REQUESTS = 100;
export const KEY_REQUESTS_WINDOW_MS = 10_000;
/** Alerts of a sidecar in a window; later ones are not taken, and come again on its next stream. */
export const MAX_ALERTS = 1_000;
export const ALERTS_WINDOW_MS = 60_000;
/** Budgets in a report of a sidecar; more are ignored. A sidecar sends fewer. */
export const MAX_REPORTED_BUDGETS = 100;
/** Rests in a report of a sidecar; more are ignored. A sidecar sends fewer. */
export const MAX_REPORTED_RESTS = 400;
/** As in the schema of policies. */
export const MAX_KEYS_URL_CHARACTERS = 2048;
/** A policy of 1,000 routes has about 1 MB. */
export const MAX_POLICY_BYTES = 64 * 1024 * 1024;
/** A sidecar that does not answer a policy in this time counts as stuck. */
export const ANSWER_TIMEOUT_MS = 30_000;
/** The token is reviewed again before it is an hour old. */
export const MAX_STREAM_AGE_MS = 50 * 60_000;
/**
 * A sidecar counts as connected for this time after its stream has ended, because it reconnects at
 * once.
 */
export const LINGER_MS = 3000;
/** A dead peer is noticed after the sum of both. */
export const KEEPALIVE_TIME_MS = 10_000;
export const KEEPALIVE_TIMEOUT_MS = 5000;
/** Questions of a console that wait for one sidecar; more are not asked. */
export const MAX_CONSOLE_QUESTIONS = 64;
/** For a reply of a sidecar, which reads all of its budgets or usage. */
export const CONSOLE_TIMEOUT_MS = 8_000;
/** Of a decompressed reply; 2,000 rows of usage have about 1 MB. */
export const MAX_CONSOLE_BODY_BYTES = 8 * 1024 * 1024;
