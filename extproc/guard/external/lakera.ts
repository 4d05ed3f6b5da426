/** The API of Lakera Guard (`POST /v2/guard`). */

import type { GuardScope } from '../text/fragment.ts';
import { DetectorError } from './external-detector.ts';
import { type AnswerObject, arrayIn, objectIn, readFindings, verdict } from './findings.ts';
import { bearer, type DetectorApi } from './remote-detector.ts';

const roles: Readonly<Record<GuardScope, string>> = {
  system: 'system',
  user: 'user',
  // What a tool returns is input of somebody else, as that of users.
  toolResult: 'user',
  assistant: 'assistant',
  toolCall: 'assistant',
  reasoning: 'assistant',
};

export function lakeraApi(projectId: string | undefined, key: string | undefined): DetectorApi {
  return (text, { scope }) => ({
    body: {
      messages: [{ role: roles[scope], content: text }],
      payload: true,
      breakdown: true,
      ...(projectId !== undefined && { project_id: projectId }),
    },
    headers: bearer(key),
    read(answer) {
      const { flagged, payload, breakdown } = objectIn(answer, 'the answer of Lakera');
      if (typeof flagged !== 'boolean') {
        throw new DetectorError('bad_response', 'the answer of Lakera does not say whether the text is flagged');
      }
      const places = partsOf(payload).map(({ detector_type: type, start, end }) => ({ type, start, end }));
      if (!flagged) {
        return { action: 'allow', findings: [] };
      }
      if (places.length > 0) {
        return { action: 'block', findings: readFindings(text, places) };
      }
      const reasons = partsOf(breakdown)
        .filter(({ detected }) => detected === true)
        .map(({ detector_type: type }) => ({ type, score: 1 }));
      return verdict(text, reasons.length === 0 ? [{ type: 'flagged', score: 1 }] : reasons);
    },
  });
}

function partsOf(list: unknown): readonly AnswerObject[] {
  return arrayIn(list ?? [], 'a list of Lakera').map((part) => objectIn(part, 'a part of the answer of Lakera'));
}
