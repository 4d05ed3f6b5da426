/** The usable listeners of all Gateways. */
import type { Listener } from '../../crds/gateway-api.ts';
import { GATEWAY_GROUP } from '../../crds/schema.ts';
import type { TranslationContext } from '../context.ts';
import { subject } from '../diagnostics.ts';
import { byAge, fullName } from '../object-names.ts';
import type { ProblemFields } from '../problem.ts';
import { notFound, referenceGrantHint } from '../resource-index.ts';
import type { Gateway, Located, Secret } from '../world.ts';
import { acceptsUnverified, type ClientCertificates, clientCertificatesOf } from './client-certificates.ts';

export interface GatewayListener {
  /** `NAMESPACE/GATEWAY/LISTENER`. */
  readonly key: string;
  readonly gateway: Located<Gateway>;
  readonly spec: Listener;
  /** `*` if the listener has none. */
  readonly hostname: string;
  /** Standalone only; at least one for HTTPS. */
  readonly certificates: readonly Located<Secret>[];
  /** Standalone only; absent: the listener asks clients for no certificate. */
  readonly clientCertificates?: ClientCertificates;
  /** Whether a client's certificate may be unverified, so that it proves nothing. */
  readonly acceptsUnverified: boolean;
}

/** Returns the listeners that Envoy can open. Reports port conflicts and invalid certificates. */
export function standaloneListeners(
  gateways: readonly Located<Gateway>[],
  context: TranslationContext,
): readonly GatewayListener[] {
  const listeners: GatewayListener[] = [];
  for (const gateway of gateways.toSorted(byAge)) {
    gateway.spec.listeners.forEach((spec, index) => {
      const path = `spec.listeners[${index}]`;
      const other = listeners.find((each) => each.spec.port === spec.port && conflicts(each.spec, spec));
      if (other !== undefined) {
        const sameProtocol = other.spec.protocol === spec.protocol;
        context.diagnostics.error(subject('Gateway', gateway), {
          reason: sameProtocol ? 'HostnameConflict' : 'PortConflict',
          path,
          message: `port ${spec.port} is already used by listener ${other.key}`,
          fix: sameProtocol ? 'use another port or host name' : 'use another port: a port has one protocol',
        });
        return;
      }
      const certificates = spec.protocol === 'HTTPS' ? certificatesOf(gateway, spec, path, context) : [];
      const refuse = (details: Pick<ProblemFields, 'path' | 'message' | 'fix'>): undefined => {
        context.diagnostics.error(subject('Gateway', gateway), { reason: 'InvalidCertificateRef', ...details });
        return undefined;
      };
      const clients = clientCertificatesOf(gateway, spec, path, context, refuse);
      if (certificates !== undefined && clients !== undefined) {
        listeners.push({
          ...listener(gateway, spec, certificates),
          ...(clients && { clientCertificates: clients }),
          acceptsUnverified: false,
        });
      }
    });
  }
  return listeners;
}

/** In a cluster, the Gateway's own controller validates listeners, certificates and ports. */
export function kubernetesListeners(gateways: readonly Located<Gateway>[]): readonly GatewayListener[] {
  return gateways
    .toSorted(byAge)
    .flatMap((gateway) => gateway.spec.listeners.map((spec) => listener(gateway, spec, [])));
}

function listener(
  gateway: Located<Gateway>,
  spec: Listener,
  certificates: readonly Located<Secret>[],
): GatewayListener {
  return {
    key: `${fullName(gateway)}/${spec.name}`,
    gateway,
    spec,
    hostname: spec.hostname ?? '*',
    certificates,
    acceptsUnverified: acceptsUnverified(gateway, spec),
  };
}

function conflicts(left: Listener, right: Listener): boolean {
  return left.protocol !== right.protocol || (left.hostname ?? '*') === (right.hostname ?? '*');
}

function certificatesOf(
  gateway: Located<Gateway>,
  spec: Listener,
  path: string,
  { resources, diagnostics }: TranslationContext,
): readonly Located<Secret>[] | undefined {
  const references = spec.tls?.certificateRefs ?? [];
  const refuse = (at: string, message: string, fix: string): undefined => {
    diagnostics.error(subject('Gateway', gateway), { reason: 'InvalidCertificateRef', path: at, message, fix });
    return undefined;
  };
  if (references.length === 0) {
    return refuse(`${path}.tls`, 'an HTTPS listener needs a certificate', 'set tls.certificateRefs to a Secret');
  }
  const secrets: Located<Secret>[] = [];
  for (const [index, reference] of references.entries()) {
    const at = `${path}.tls.certificateRefs[${index}]`;
    const namespace = reference.namespace ?? gateway.metadata.namespace;
    const to = { group: '', kind: 'Secret', namespace, name: reference.name };
    const from = { group: GATEWAY_GROUP, kind: 'Gateway', namespace: gateway.metadata.namespace };
    if (reference.kind !== 'Secret' || reference.group !== '') {
      return refuse(at, `kind ${reference.kind} is not supported for certificates`, 'refer to a Secret');
    }
    if (!resources.permits(from, to)) {
      const message = `Secret ${namespace}/${reference.name} is in another namespace and not permitted by a ReferenceGrant there`;
      return refuse(at, message, referenceGrantHint(from, to));
    }
    const secret = resources.secret(namespace, reference.name);
    if (secret === undefined) {
      const { message, fix } = notFound(resources, 'Secret', namespace, reference.name);
      return refuse(at, message, fix);
    }
    for (const key of ['tls.crt', 'tls.key']) {
      if (!secret.data.get(key)?.reveal().includes('-----BEGIN')) {
        const message = `Secret ${namespace}/${reference.name} has no PEM data under key ${key}`;
        return refuse(at, message, `set ${key} in PEM format`);
      }
    }
    secrets.push(secret);
  }
  return secrets;
}
