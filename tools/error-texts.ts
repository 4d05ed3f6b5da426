/** What docs/reference/errors.md says about each failure, beside what the code tells itself. A code that is added to the list must get its words here. */
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
    means: 'A key that the gateway reads stands twice in the body, perhaps in other case or with escapes.',
    fix: 'Send it once. Parsers differ in which one they take, so neither is believed.',
  },
  missing_model: { means: 'The body has no `model`.', fix: 'Name one.' },
  invalid_value: {
    means: 'A field that the gateway reads has a value of the wrong type or size; `param` and the message name it.',
    fix: 'Correct the field.',
  },
  unbounded_cost: {
    means: 'The cost cannot be bounded beforehand, and a token quota has `unbounded: Refuse`.',
    fix: 'Leave out what the message names, or set `unbounded: Allow` on the quota.',
  },
  missing_quota_key: {
    means: 'A quota is kept by a header that the request lacks, leaves empty or has several times.',
    fix: 'Send the header that `param` names once, or set `onMissingKey: Shared`.',
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
    means: 'No rule serves the model here, or none of its backends speaks the API of the endpoint.',
    fix: 'Use a model that a rule names: `GET /v1/models/NAME` says whether one does, also where the list leaves it out because only a pattern matches it. Use a client of the right API.',
  },
  unknown_endpoint: {
    means: 'The gateway does not serve this method and path, or no route has this host name.',
    fix: 'Correct the base URL and the spelling of the path, or list the endpoint in `passthrough`.',
  },
  unmetered_endpoint: {
    means: 'A token quota stands here, and the tokens of this passthrough are not counted.',
    fix: 'Set `unmetered: Allow` on each token quota that holds there, if it may pass all the same.',
  },
  quota_exceeded: {
    means: 'What is left of a token quota does not reach for this request.',
    fix: 'Wait for `retry-after`, shorten the prompt, or raise the limit. Without `retry-after` waiting does not help.',
  },
  request_rate_exceeded: {
    means: 'A quota on requests is used up.',
    fix: 'Wait for `retry-after`, or raise the limit.',
  },
  budget_held: {
    means: 'Enough is left of a quota, but running requests hold it, and they held it longer than `queueTimeout`.',
    fix: 'Try again after `retry-after`, or raise `queueTimeout`.',
  },
  upload_too_slow: {
    means: 'The request body came too slowly: nothing for 20 s, or less than 500 bytes a second after the first 20 s.',
    fix: 'Send it again without a pause.',
  },
  overloaded: {
    means: 'The gateway is at a bound of its own: request bodies in memory, live keys of quotas, or no policy yet.',
    fix: 'Try again shortly; see the log if it stays.',
  },
  journal_unavailable: {
    means:
      'What is spent of a quota cannot be written down (the disk is full, read-only or broken), and the quota has `onJournalLoss: FailClosed`.',
    fix: 'Make room on the disk of the state folder; the gateway goes on by itself. See `journal` in `/readyz`.',
  },
  unreadable_answer: {
    means:
      'A token quota stands here, and the answer of the provider has an encoding that was not asked for and that nobody can count.',
    fix: 'Switch the encoding off at the provider, or at the proxy before it.',
  },
  backend_unavailable: {
    means: 'The provider or extproc cannot be reached.',
    fix: 'Try again; `backendFailure` in the access line says why. Check the address of the AIBackend.',
  },
  first_token_timeout: {
    means: 'The provider sent no token within `timeouts.firstToken`.',
    fix: 'Try again, or raise the timeout of the rule.',
  },
  internal_error: {
    means: 'A fault of the gateway, or an answer of the provider that it cannot carry.',
    fix: 'See the log, and report it.',
  },
};
