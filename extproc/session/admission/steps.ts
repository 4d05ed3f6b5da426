import { access } from './access.ts';
import type { AdmissionStep } from './admission.ts';
import { guard } from './guard.ts';
import { permission } from './permission.ts';
import { plan } from './plan.ts';
import { requestLimits } from './request-limits.ts';
import { reserve } from './reserve.ts';
import { route } from './route.ts';

/** The steps of admission, in order: what costs least or is needed by the next one comes first. */
export const admissionSteps: readonly AdmissionStep[] = [
  access,
  route,
  permission,
  plan,
  requestLimits,
  guard,
  reserve,
];
