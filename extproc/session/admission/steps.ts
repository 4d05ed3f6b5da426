import { access } from './access.ts';
import type { AdmissionStep } from './admission.ts';
import { content } from './content.ts';
import { countTokens } from './count-tokens.ts';
import { guard } from './guard.ts';
import { permission } from './permission.ts';
import { plan } from './plan.ts';
import { reply } from './reply.ts';
import { requestLimits } from './request-limits.ts';
import { reserve } from './reserve.ts';
import { route } from './route.ts';
import { signIn } from './sign-in.ts';

/** The steps of admission, in order: what costs least or is needed by the next one comes first. */
export const admissionSteps: readonly AdmissionStep[] = [
  signIn,
  access,
  reply,
  route,
  permission,
  guard,
  plan,
  requestLimits,
  reserve,
  countTokens,
  content,
];
