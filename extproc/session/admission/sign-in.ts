/**
 * Tells command lines how to sign in (`/.well-known/tallygate`). Comes before access, because its
 * callers have no credential yet.
 */
import { failure } from '../../errors.ts';
import type { AdmissionStep } from './admission.ts';

const noSignIn = failure(
  'unknown_endpoint',
  'This gateway offers no sign-in for command lines. Set signIn in a JWT authenticator of its AIAccessPolicy.',
);

export const signIn: AdmissionStep = {
  name: 'signIn',
  run({ request }) {
    if (request.found?.endpoint.kind !== 'sign-in') {
      return 'next';
    }
    const { signIn: document } = request.entry!;
    return document === undefined ? noSignIn : { reply: Buffer.from(JSON.stringify(document)) };
  },
};
