/** The usable listeners of all Gateways. */
import type { Listener } from '../crds/gateway-api.ts';
import { GATEWAY_GROUP } from '../crds/schema.ts';
import { absence, type Catalog, grantFix } from './catalog.ts';
import { byAge, fullName, type Report, subject } from './report.ts';
import type { Gateway, Located, Secret } from './world.ts';

export interface Door {
  /** `NAMESPACE/GATEWAY/LISTENER`. */
  readonly key: string;
  readonly gateway: Located<Gateway>;
  readonly listener: Listener;
  readonly hostname: string;
  /** Standalone only; at least one for HTTPS. */
  readonly certificates: readonly Located<Secret>[];
}

export function doorsOf(gateways: readonly Located<Gateway>[], catalog: Catalog, report: Report): readonly Door[] {
  const doors: Door[] = [];
  for (const gateway of gateways.toSorted(byAge)) {
    gateway.spec.listeners.forEach((listener, index) => {
      const path = `spec.listeners[${index}]`;
      const taken = doors.find((door) => door.listener.port === listener.port && clash(door.listener, listener));
      if (taken !== undefined) {
        const sameProtocol = taken.listener.protocol === listener.protocol;
        report.error(subject('Gateway', gateway), {
          reason: sameProtocol ? 'HostnameConflict' : 'PortConflict',
          path,
          message: `port ${listener.port} is already used by listener ${taken.key}`,
          fix: sameProtocol ? 'use another port or host name' : 'use another port: a port has one protocol',
        });
        return;
      }
      const certificates =
        listener.protocol === 'HTTPS' ? certificatesOf(gateway, listener, path, catalog, report) : [];
      if (certificates === undefined) {
        return;
      }
      const key = `${fullName(gateway)}/${listener.name}`;
      doors.push({ key, gateway, listener, hostname: listener.hostname ?? '*', certificates });
    });
  }
  return doors;
}

/** In a cluster, the Gateway's own controller validates listeners, certificates and ports. */
export function clusterDoors(gateways: readonly Located<Gateway>[]): readonly Door[] {
  return gateways.toSorted(byAge).flatMap((gateway) =>
    gateway.spec.listeners.map((listener) => {
      const key = `${fullName(gateway)}/${listener.name}`;
      return { key, gateway, listener, hostname: listener.hostname ?? '*', certificates: [] };
    }),
  );
}

function clash(left: Listener, right: Listener): boolean {
  return left.protocol !== right.protocol || (left.hostname ?? '*') === (right.hostname ?? '*');
}

function certificatesOf(
  gateway: Located<Gateway>,
  listener: Listener,
  path: string,
  catalog: Catalog,
  report: Report,
): readonly Located<Secret>[] | undefined {
  const references = listener.tls?.certificateRefs ?? [];
  const refuse = (at: string, message: string, fix: string): undefined => {
    report.error(subject('Gateway', gateway), { reason: 'InvalidCertificateRef', path: at, message, fix });
    return undefined;
  };
  if (references.length === 0) {
    return refuse(`${path}.tls`, 'an HTTPS listener needs a certificate', 'set tls.certificateRefs to a Secret');
  }
  const found: Located<Secret>[] = [];
  for (const [index, reference] of references.entries()) {
    const at = `${path}.tls.certificateRefs[${index}]`;
    const namespace = reference.namespace ?? gateway.metadata.namespace;
    const to = { group: '', kind: 'Secret', namespace, name: reference.name };
    const from = { group: GATEWAY_GROUP, kind: 'Gateway', namespace: gateway.metadata.namespace };
    if (reference.kind !== 'Secret' || reference.group !== '') {
      return refuse(at, `kind ${reference.kind} is not supported for certificates`, 'refer to a Secret');
    }
    if (!catalog.permits(from, to)) {
      const message = `Secret ${namespace}/${reference.name} is in another namespace and not permitted by a ReferenceGrant there`;
      return refuse(at, message, grantFix(from, to));
    }
    const secret = catalog.secret(namespace, reference.name);
    if (secret === undefined) {
      const { message, fix } = absence(catalog, 'Secret', namespace, reference.name);
      return refuse(at, message, fix);
    }
    for (const key of ['tls.crt', 'tls.key']) {
      if (!secret.data.get(key)?.reveal().includes('-----BEGIN')) {
        const message = `Secret ${namespace}/${reference.name} has no PEM data under key ${key}`;
        return refuse(at, message, `set ${key} in PEM format`);
      }
    }
    found.push(secret);
  }
  return found;
}
