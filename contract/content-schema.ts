/** The schema of the part of a policy that says which content leaves the gateway. */
import { z } from 'zod';
import { principal } from './access-policy-schema.ts';
import { type ContentPolicy, contentDestinations, contentParts, type Redaction } from './content.ts';
import { count, type Fields, text } from './fields.ts';
import { ownDetector } from './guardrails-schema.ts';

export const contentPolicy = z.strictObject({
  name: text,
  content: z.array(z.enum(contentParts)).min(1),
  destinations: z.array(z.enum(contentDestinations)).min(1),
  maxBytes: count,
  samplingPercent: z.int().min(1).max(100),
  redact: z.array(
    z.strictObject({ detector: ownDetector, placeholder: text.includes('{index}') } satisfies Fields<Redaction>),
  ),
  notifyHeader: z.boolean(),
  when: text.exactOptional(),
  exempt: z.array(principal),
} satisfies Fields<ContentPolicy>);
