/** Names on the wire between Envoy and extproc. All `x-tallygate-*` headers of a client are removed: none of them is ever believed. */

/** Set by extproc, matched by every generated Envoy route: rule and backend (`Target.id`). */
export const ROUTE_HEADER = 'x-tallygate-route';

/** Every header that begins so is ours. */
export const OWN_HEADER_PREFIX = 'x-tallygate-';

/** The ext_proc attribute that names the Envoy route which the request matched first. */
export const ROUTE_NAME_ATTRIBUTE = 'xds.route_name';

/** Attributes of an answer, in a cluster: who wrote it, and the path that was asked for, where Envoy answered before extproc saw the request. */
export const CODE_DETAILS_ATTRIBUTE = 'response.code_details';
export const PATH_ATTRIBUTE = 'request.path';

/** `response.code_details` of an answer that is a provider's. */
export const VIA_UPSTREAM = 'via_upstream';
