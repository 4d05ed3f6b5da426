/**
 * Limits the size of the routes of one namespace. All tenants of a proxy share its policy and its
 * event loop, so one tenant's routes must neither make the policy too large to send nor slow down
 * the requests of others. Older routes take precedence; each route that does not fit is refused
 * individually.
 */
import { type Diagnostics, subject } from '../diagnostics.ts';
import { MAX_PATTERN_PARTS, patternParts } from './pattern-bounds.ts';
import type { AttachedHostname, RouteAttachment } from './route-attachment.ts';
import type { LinkedRoute } from './routes.ts';

interface RouteWeight {
  /** Rules × backends × host names × listeners: the number of Envoy routes. */
  readonly places: number;
  /** JSON of the rules, which the policy contains once each. */
  readonly bytes: number;
  /** Model patterns with `*`. In the worst case a name is compared with all of them. */
  readonly globs: number;
  /** Parts of header patterns. In the worst case one request is matched against all of them. */
  readonly patternParts: number;
}

/**
 * Per namespace. 16 tenants at these limits fill the 64 MiB of a policy; 512 parts take 5 to 8 ms
 * at worst.
 */
const limits: RouteWeight = { places: 16_384, bytes: 4 * 1024 * 1024, globs: 4096, patternParts: MAX_PATTERN_PARTS };

const limitNames: Readonly<Record<keyof RouteWeight, string>> = {
  places: 'rules × backends × host names',
  bytes: 'bytes of rules',
  globs: 'globs',
  patternParts: 'parts of header patterns',
};

/**
 * Refuses routes that exceed the limits. Expects the attachments sorted by the age of their routes.
 */
export function withinBounds(
  attachments: readonly RouteAttachment[],
  diagnostics: Diagnostics,
): readonly RouteAttachment[] {
  const taken = new Map<string, RouteWeight>();
  const refused = new Set<LinkedRoute>();
  for (const [route, own] of Map.groupBy(attachments, (each) => each.route)) {
    const served = own.filter(({ places }) => places.length > 0);
    if (served.length === 0) {
      continue;
    }
    const { namespace } = route.route.metadata;
    const weight = weightOf(route, new Set(served.flatMap(({ places }) => places.map(placeKey))).size);
    const sum = added(taken.get(namespace), weight);
    const [over] = (Object.keys(limits) as (keyof RouteWeight)[]).filter((name) => sum[name] > limits[name]);
    if (over === undefined) {
      taken.set(namespace, sum);
      continue;
    }
    refused.add(route);
    for (const { parentRef } of served) {
      diagnostics.error(subject('AIGatewayRoute', route.route), {
        reason: 'PolicyTooLarge',
        path: `spec.parentRefs[${route.route.spec.parentRefs.indexOf(parentRef)}]`,
        message: `with this route, namespace ${namespace} has ${sum[over]} ${limitNames[over]}; the maximum is ${limits[over]}`,
        fix: 'remove rules, models or host names from routes of the namespace, or move routes to another namespace',
      });
    }
  }
  return attachments.map((each) =>
    refused.has(each.route) && each.places.length > 0 ? { ...each, refused: 'PolicyTooLarge', places: [] } : each,
  );
}

function placeKey({ listener, hostname }: AttachedHostname): string {
  return `${listener.key} ${hostname}`;
}

function weightOf({ route, rules, passthrough }: LinkedRoute, places: number): RouteWeight {
  const targets = rules.reduce((sum, rule) => sum + Math.max(1, rule.targets.length), passthrough.length);
  const models = rules.flatMap(({ rule }) => rule.models);
  return {
    places: targets * places,
    bytes: JSON.stringify([route.spec.rules, route.spec.passthrough]).length,
    globs: models.filter((model) => model.includes('*') && model !== '*').length,
    patternParts: patternParts(route.spec.rules),
  };
}

function added(taken: RouteWeight | undefined, more: RouteWeight): RouteWeight {
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
