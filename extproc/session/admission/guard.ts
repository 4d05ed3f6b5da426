import type { AdmissionStep } from './admission.ts';

/**
 * Inspects the prompt. Runs before the reservation, because an inspection may wait or change the
 * prompt, and lets everything pass: no policy asks for an inspection yet.
 */
export const guard: AdmissionStep = {
  name: 'guard',
  run: () => 'next',
};
