/**
 * The meaning and the fix of each failure in docs/reference/errors.md. Every failure code needs an
 * entry.
 */
import type { FailureCode } from '../extproc/errors.ts';

interface ErrorText {
  readonly means: string;
  readonly fix: string;
}

export const errorTexts: Readonly<Record<FailureCode, ErrorText>> = {
  invalid_body: {
    means: 'The body is not JSON in UTF-8, or its form is not that of the endpoint.',
    fix: 'Send one JSON object, without a byte order mark.',
  },
  duplicate_key: {
    means: 'The body has a key twice that the gateway reads, perhaps in another case or with escapes.',
    fix: 'Send it once. Parsers differ in which one they use, so the gateway accepts neither.',
  },
  missing_model: { means: 'The body has no `model`.', fix: 'Set `model`.' },
  invalid_value: {
    means: 'A field that the gateway reads has a value of the wrong type or size; `param` and the message name it.',
    fix: 'Correct the field.',
  },
  unsupported_field: {
    means: 'The backend speaks another API than the client, and that API has no place for the field in `param`.',
    fix: 'Remove the field, or set `unsupported: Drop` in the rule.',
  },
  content_blocked: {
    means:
      'A guardrail does not allow the content of the request, or cannot examine it; the message is that of the guardrail.',
    fix: 'Send the request without that content. An AIGuardrailPolicy decides what is allowed.',
  },
  unbounded_cost: {
    means: 'The cost of the request is unbounded, and a token quota has `unbounded: Refuse`.',
    fix: 'Remove the part that the message names, or set `unbounded: Allow` on the quota.',
  },
  missing_quota_key: {
    means: 'The header in the key of a quota is missing, empty or repeated.',
    fix: 'Send the header in `param` exactly once, or set `onMissingKey: Shared`.',
  },
  unsupported_encoding: {
    means: 'The request body is compressed, or its `charset` is not UTF-8.',
    fix: 'Send it in UTF-8, without `content-encoding`.',
  },
  request_too_large: {
    means: 'The body is larger than `maxRequestBodySize` of the route or `requestLimits.bodySize` of a policy.',
    fix: 'Send less, or raise the bound.',
  },
  input_tokens_exceeded: {
    means: 'The prompt has more tokens than `requestLimits.inputTokens`.',
    fix: 'Send a shorter prompt, or raise the limit.',
  },
  output_tokens_exceeded: {
    means: 'The request asks for more output than `requestLimits.outputTokens`.',
    fix: 'Ask for less, or raise the limit.',
  },
  model_not_found: {
    means: 'No rule serves the model on this host, or none of its backends serves the endpoint.',
    fix: 'Use a model that a rule names, and a client of the right API. `GET /v1/models/NAME` shows whether a rule matches a name, also where only a pattern does and the list omits it.',
  },
  unknown_endpoint: {
    means: 'The gateway does not serve this method and path, or no route has this host name.',
    fix: 'Correct the base URL and the spelling of the path, or list the endpoint in `passthrough`.',
  },
  unauthenticated: {
    means:
      'An `AIAccessPolicy` applies, and the request has no credential that it accepts: none, two different ones, or one that is unknown, revoked, expired or not yet valid.',
    fix: 'Send one valid API key or token, as `authorization: Bearer` or `x-api-key`.',
  },
  forbidden: {
    means:
      'No `allow` rule of the `AIAccessPolicy` objects that apply admits the caller to the endpoint with such a request. Or a request with the session of a browser is not JSON, so another page could have sent it.',
    fix: 'Ask the operator for access, ask for less output where a condition limits it, or send JSON with the content type `application/json`.',
  },
  model_not_allowed: {
    means: 'No `allow` rule admits the caller to the model. The name is compared exactly, also in case.',
    fix: 'Use a model of `GET /v1/models`, or ask the operator for access.',
  },
  model_unpriced: {
    means: 'A quota counts cost, and the model has no prices in its currency at the backend.',
    fix: 'Add `prices` to the model in the `AIBackend`, or set `unpriced: Allow` on the quota.',
  },
  unmetered_endpoint: {
    means: 'A quota on tokens or cost applies, and the tokens of this passthrough endpoint are not counted.',
    fix: 'Set `unmetered: Allow` on each such quota that applies, to let it pass uncounted.',
  },
  quota_exceeded: {
    means: 'A quota on tokens or cost has too little left for the request.',
    fix: 'Wait for `retry-after`, shorten the prompt, or raise the limit. Without `retry-after`, waiting does not help.',
  },
  request_rate_exceeded: {
    means: 'A quota on requests is used up.',
    fix: 'Wait for `retry-after`, or raise the limit.',
  },
  budget_held: {
    means: 'A quota has enough left, but requests in flight held it for longer than `queueTimeout`.',
    fix: 'Try again after `retry-after`, or raise `queueTimeout`.',
  },
  concurrency_exceeded: {
    means: 'As many requests run as a quota on concurrent requests allows, and none ended within `queueTimeout`.',
    fix: 'Try again after `retry-after`, send fewer requests at once, or raise `queueTimeout` or the limit.',
  },
  upload_too_slow: {
    means: 'The request body arrived too slowly: nothing for 20 s, or under 500 bytes per second after the first 20 s.',
    fix: 'Send it again without a pause.',
  },
  overloaded: {
    means: 'The gateway is at one of its bounds (request bodies in memory, live keys of quotas), or has no policy yet.',
    fix: 'Try again shortly. If the error persists, see the log.',
  },
  journal_unavailable: {
    means:
      'The quota journal cannot be written (the disk is full, read-only or broken), and the quota has `onJournalLoss: FailClosed`.',
    fix: 'Free space on the disk of the state folder; the gateway then recovers by itself. See `journal` in `/readyz`.',
  },
  quota_store_unavailable: {
    means:
      'The store that replicas share does not answer, and what this replica may spend without it is used up. `onStoreLoss` of the quota says how much that is.',
    fix: 'Repair the store or the connection to it; the gateway then recovers by itself.',
  },
  unreadable_answer: {
    means:
      'A token quota applies, and the response of the provider has an encoding that the client did not ask for and that cannot be counted.',
    fix: 'Turn off the encoding at the provider, or at the proxy in front of it.',
  },
  backend_unavailable: {
    means: 'The provider or extproc cannot be reached.',
    fix: 'Try again; `backendFailure` in the access line says why. Check the address of the AIBackend.',
  },
  guardrail_unavailable: {
    means: 'The service of a guardrail with `onFailure: Closed` did not examine the request.',
    fix: 'Try again. Operators find the rule and the reason under `guardrails` in the access line.',
  },
  first_token_timeout: {
    means: 'The provider sent no token within `timeouts.firstToken`.',
    fix: 'Try again, or raise the timeout of the rule.',
  },
  stopped_by_operator: {
    means: 'An operator of the gateway stopped the request before its response began.',
    fix: 'Ask the operator; `stoppedBy` in the access line names the person.',
  },
  internal_error: {
    means: 'An internal error of the gateway, or a response of the provider that it cannot relay.',
    fix: 'See the log, and report the error.',
  },
};
