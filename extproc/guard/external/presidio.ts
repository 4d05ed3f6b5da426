/** The API of Microsoft Presidio's analyzer (`POST /analyze`). Its offsets count code points. */
import type { PresidioSettings } from '../../../contract/guardrails.ts';
import { arrayIn, objectIn, readFindings } from './findings.ts';
import { bearer, type DetectorApi } from './remote-detector.ts';

export function presidioApi(settings: PresidioSettings, key: string | undefined): DetectorApi {
  const { language, entities, scoreThreshold } = settings;
  return (text) => ({
    body: {
      text,
      language,
      ...(entities && { entities }),
      ...(scoreThreshold !== undefined && { score_threshold: scoreThreshold }),
    },
    headers: bearer(key),
    read(answer) {
      const sent = arrayIn(answer, 'the answer of Presidio').map((result) => {
        const { entity_type: type, start, end, score } = objectIn(result, 'a result of Presidio');
        return { type, start, end, score };
      });
      const findings = readFindings(text, sent).filter(
        ({ type, score }) => score >= (scoreThreshold ?? 0) && (entities === undefined || entities.includes(type)),
      );
      return { action: findings.length === 0 ? 'allow' : 'modify', findings };
    },
  });
}
