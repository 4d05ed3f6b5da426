/** The webhook contract of detectors; docs/reference/guardrail-webhook.md describes it. */
import { createHmac, randomUUID } from 'node:crypto';
import { type Analysis, DetectorError } from './external-detector.ts';
import { arrayIn, objectIn, readFindings } from './findings.ts';
import type { DetectorApi } from './remote-detector.ts';

const VERSION = '1';
const actions = ['allow', 'block', 'modify'] as const;
/** Of the message for the client. */
const MAX_MESSAGE_LENGTH = 500;

/**
 * `secret`: signs requests as Standard Webhooks describes; undefined: they are not signed. `now`:
 * milliseconds since 1970.
 */
export function webhookApi(secret: string | undefined, now: () => number): DetectorApi {
  const signingKey = secret === undefined ? undefined : Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  return (text, context) => ({
    body: { text, context },
    headers: (body) => ({
      'tallygate-guardrail-version': VERSION,
      ...(signingKey !== undefined && signature(signingKey, body, now())),
    }),
    read: (answer) => readAnswer(answer, text),
  });
}

/** Uses Node's HMAC: that of the package `standardwebhooks` would hold the event loop. */
function signature(key: Buffer, body: string, nowMs: number): Readonly<Record<string, string>> {
  const id = randomUUID();
  const timestamp = String(Math.floor(nowMs / 1000));
  const digest = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${digest}` };
}

function readAnswer(answer: unknown, text: string): Analysis {
  const { action: name, findings: sent, replacement, message } = objectIn(answer, 'the answer of the webhook');
  const action = actions.find((each) => each === name);
  if (action === undefined) {
    throw new DetectorError('bad_response', `the action of the webhook is not one of ${actions.join(', ')}`);
  }
  const findings = readFindings(
    text,
    arrayIn(sent ?? [], 'what the webhook found').map((finding) => objectIn(finding, 'a finding of the webhook')),
  );
  if (!isOptionalText(replacement) || !isOptionalText(message)) {
    throw new DetectorError('bad_response', 'the replacement or message of the webhook is not a string');
  }
  const replaces = typeof replacement === 'string';
  if (action === 'modify' && !replaces && findings.length === 0) {
    throw new DetectorError('bad_response', 'the webhook modifies a text without replacement and findings');
  }
  return {
    action,
    findings,
    ...(action === 'modify' && replaces && { replacement }),
    ...(action === 'block' && typeof message === 'string' && { message: message.slice(0, MAX_MESSAGE_LENGTH) }),
  };
}

function isOptionalText(value: unknown): value is string | undefined | null {
  return value === undefined || value === null || typeof value === 'string';
}
