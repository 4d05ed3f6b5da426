/** OpenAI's moderation API (`POST /v1/moderations`), which judges a text as a whole. */
import type { OpenAIModerationSettings } from '../../../contract/guardrails.ts';
import { DetectorError } from './external-detector.ts';
import { arrayIn, objectIn, verdict } from './findings.ts';
import { bearer, type DetectorApi } from './remote-detector.ts';

export function openAIModerationApi(settings: OpenAIModerationSettings, key: string | undefined): DetectorApi {
  const { model, categories, scoreThreshold } = settings;
  return (text) => ({
    body: { model, input: text },
    headers: bearer(key),
    read(answer) {
      const results = arrayIn(objectIn(answer, 'the answer of the moderation API')['results'], 'its results');
      const { categories: flags, category_scores: sent } = objectIn(results[0], 'the result of the moderation API');
      const scores = objectIn(sent, 'the scores of the moderation API');
      const flagged = objectIn(flags, 'the categories of the moderation API');
      const missing = categories?.find((name) => !Object.hasOwn(flagged, name) || !Object.hasOwn(scores, name));
      if (missing !== undefined) {
        throw new DetectorError('bad_response', `the moderation API does not know the category ${missing}`);
      }
      const reasons = (categories ?? Object.keys(flagged))
        .filter((name) => (scoreThreshold === undefined ? flagged[name] : Number(scores[name]) >= scoreThreshold))
        .map((name) => ({ type: name, score: scores[name] }));
      return verdict(text, reasons);
    },
  });
}
