/**
 * Replies with the tokens of a prompt where the backend has no such API. Comes last, so that access
 * and quotas on requests apply; the hold is returned, because counting costs nothing.
 */
import { ESTIMATE_HEADER } from '../../../contract/headers.ts';
import type { EventOf } from '../protocol.ts';
import type { PreparedRequest } from '../request.ts';
import { sampleOf } from '../sample.ts';
import type { Admission, AdmissionStep, AdmissionWait, GatewayReply } from './admission.ts';
import { countPrompt, stopCount } from './count-prompt.ts';

/**
 * Text up to this length is counted as a whole, which takes a second at most, in slices. The
 * largest context has about as much. Of longer text, the beginning is counted.
 */
const MAX_COUNTED_BYTES = 4 * 1024 * 1024;

export const countTokens: AdmissionStep = {
  name: 'countTokens',
  run(admission, _nowMs, out) {
    const { prepared } = admission;
    if (prepared?.choice.counts !== true) {
      return 'next';
    }
    const { choice, body, input } = prepared;
    if (choice.facts.textBytes > MAX_COUNTED_BYTES) {
      input.sample = sampleOf(body!, choice.tokenizer, choice.backendModel);
      return replyWith(admission, prepared);
    }
    countPrompt(prepared, Number.POSITIVE_INFINITY, out);
    return countWait;
  },
};

const countWait: AdmissionWait<EventOf<'counted'>> = {
  event: 'counted',
  cancel: stopCount,
  resume(admission, { tokens }) {
    const prepared = admission.prepared!;
    prepared.input.counted(tokens);
    return replyWith(admission, prepared);
  },
};

function replyWith({ request }: Admission, { input }: PreparedRequest): GatewayReply {
  return { reply: request.found!.endpoint.countReply!(input.likely()), headers: [[ESTIMATE_HEADER, 'true']] };
}
