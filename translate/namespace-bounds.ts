/**
 * What the routes of one namespace may weigh. All tenants of a proxy share its policy and its event
 * loop, so one tenant's routes must neither make the policy too large to be sent nor slow down
 * everybody's requests. The oldest routes come first; one that does not fit is refused, alone.
 */
import { MAX_PATTERN_SIZE, patternSize } from '../contract/pattern.ts';
import type { Attachment } from './attach.ts';
import { type Report, subject } from './report.ts';
import type { LinkedRoute } from './routes.ts';

interface Weight {
  /** Rules × backends × host names × listeners: each is a route of Envoy's. */
  readonly places: number;
  /** Of rules in the policy, which holds each once. */
  readonly bytes: number;
  /** Models with a `*` in them: an index finds most, but a name may have to be compared with all. */
  readonly globs: number;
  /** Parts of header patterns; all of them may have to be matched with the headers of one request. */
  readonly patternParts: number;
}

/** Per namespace. 16 tenants at these bounds fill the 64 MiB of a policy; 512 parts take 5 to 8 ms at worst. */
const most: Weight = { places: 16_384, bytes: 4 * 1024 * 1024, globs: 4096, patternParts: 512 };

const words: Readonly<Record<keyof Weight, string>> = {
  places: 'rules × backends × host names',
  bytes: 'bytes of rules',
  globs: 'globs',
  patternParts: 'parts of header patterns',
};

/** Refuses what does not fit. Attachments come by the age of their routes. */
export function withinBounds(attachments: readonly Attachment[], report: Report): readonly Attachment[] {
  const taken = new Map<string, Weight>();
  const refused = new Set<LinkedRoute>();
  for (const [route, own] of Map.groupBy(attachments, (each) => each.route)) {
    const served = own.filter(({ places }) => places.length > 0);
    if (served.length === 0) {
      continue;
    }
    const { namespace } = route.route.metadata;
    const weight = weightOf(route, new Set(served.flatMap(({ places }) => places.map(placeKey))).size);
    const sum = added(taken.get(namespace), weight);
    const [over] = (Object.keys(most) as (keyof Weight)[]).filter((name) => sum[name] > most[name]);
    if (over === undefined) {
      taken.set(namespace, sum);
      continue;
    }
    refused.add(route);
    for (const { parentRef } of served) {
      report.error(subject('AIGatewayRoute', route.route), {
        reason: 'PolicyTooLarge',
        path: `spec.parentRefs[${route.route.spec.parentRefs.indexOf(parentRef)}]`,
        message: `with this route namespace ${namespace} would have ${sum[over]} ${words[over]}, and ${most[over]} are allowed`,
        fix: 'remove rules, models or host names of this or older routes there, or move some to another namespace',
      });
    }
  }
  return attachments.map((each) =>
    refused.has(each.route) && each.places.length > 0 ? { ...each, refused: 'PolicyTooLarge', places: [] } : each,
  );
}

function placeKey({ door, hostname }: Attachment['places'][number]): string {
  return `${door.key} ${hostname}`;
}

function weightOf({ route, rules, passthrough }: LinkedRoute, places: number): Weight {
  const targets = rules.reduce((sum, rule) => sum + Math.max(1, rule.targets.length), passthrough.length);
  const models = rules.flatMap(({ rule }) => rule.models);
  return {
    places: targets * places,
    bytes: JSON.stringify([route.spec.rules, route.spec.passthrough]).length,
    globs: models.filter((model) => model.includes('*') && model !== '*').length,
    patternParts: patternParts(route.spec.rules),
  };
}

function added(taken: Weight | undefined, more: Weight): Weight {
  if (taken === undefined) {
    return more;
  }
  return {
    places: taken.places + more.places,
    bytes: taken.bytes + more.bytes,
    globs: taken.globs + more.globs,
    patternParts: taken.patternParts + more.patternParts,
  };
}

function patternParts(rules: LinkedRoute['route']['spec']['rules']): number {
  const headers = rules.flatMap((rule) => rule.headers ?? []);
  const sizes = headers.map(({ type, value }) => (type === 'RegularExpression' ? patternSize(value) : 0));
  // A larger one is refused by itself, and is not compiled for that.
  return sizes.filter((size) => size <= MAX_PATTERN_SIZE).reduce((sum, size) => sum + size, 0);
}

/** A route over the bound by itself: its patterns need not be compiled to see that it is refused. */
export function hasTooManyPatterns(rules: LinkedRoute['route']['spec']['rules']): boolean {
  return patternParts(rules) > most.patternParts;
}
