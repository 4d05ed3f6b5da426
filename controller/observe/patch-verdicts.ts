/**
 * Reads what Envoy Gateway has made of a generated EnvoyPatchPolicy. Pure. The generation does not
 * matter: Envoy keeps an earlier version until it has the new one, and both serve the same rule.
 */
import type { PatchVerdict } from '../../translate/kubernetes/plan.ts';
import type { KubeObject } from '../api/object.ts';
import { ENVOY_GATEWAY, type JudgedObject } from './verdicts.ts';

/** Returns undefined while Envoy Gateway has not judged it. */
export function patchVerdict(object: KubeObject): PatchVerdict | undefined {
  const { status } = object as Pick<JudgedObject, 'status'>;
  const conditions = (status?.ancestors ?? [])
    .filter(({ controllerName }) => controllerName === ENVOY_GATEWAY)
    .flatMap((ancestor) => ancestor.conditions ?? []);
  const [refused] = conditions.filter(({ type, status }) => type === 'Accepted' && status === 'False');
  const programmed = conditions.find(({ type }) => type === 'Programmed');
  const about = refused ?? programmed;
  if (about === undefined) {
    return undefined;
  }
  // The message may go on with Envoy's configuration.
  const text = about.message?.split('{')[0]?.trimEnd();
  const message = [about.reason, text].filter(Boolean).join(': ');
  if (about.reason === 'Disabled') {
    return { reason: 'PatchesDisabled', message };
  }
  return { reason: about === programmed && about.status === 'True' ? 'Programmed' : 'PatchRefused', message };
}
