/** Where a plan will be carried out. Machine and cluster differ in what can be reached and in who judges listeners. */
import type { Reach, Services } from './destinations.ts';

export type Site =
  | {
      readonly type: 'Machine';
      /** Whether it has a bundle of authorities, for backends with `tls.mode: System`. */
      readonly trustsAuthorities: boolean;
    }
  | ({ readonly type: 'Cluster'; readonly reach: Reach } & ClusterFacts);

export interface ClusterFacts {
  /** Labels by name, for `allowedRoutes.namespaces.selector`. */
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly services: Services;
}
