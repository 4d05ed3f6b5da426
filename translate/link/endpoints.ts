/** Resolves the endpoint of a backend: its address, and how to verify its certificate. */
import type { AIBackend } from '../../crds/kinds.ts';
import { GROUP } from '../../crds/schema.ts';
import type { TranslationContext } from '../context.ts';
import type { ProblemFields } from '../problem.ts';
import { notFound, type ResourceIndex, referenceGrantHint } from '../resource-index.ts';
import { type Located, type SecretText, secretText } from '../world.ts';
import { certificatesIn } from './certificates.ts';
import { isNumber, refusedAddress, refusedDestination, serviceNamed } from './destinations.ts';
import { addressFamily } from './ip-address.ts';

export interface Endpoint {
  /** A lower-case name, or an IP address. */
  readonly host: string;
  readonly port: number;
  /** The Service behind `host` and `port`; only in a cluster. */
  readonly service?: { readonly namespace: string; readonly name: string };
  readonly tls?: {
    /** The name to expect in the certificate. */
    readonly hostname: string;
    /** CA certificates. Absent: those of the system. */
    readonly caBundle?: SecretText;
  };
}

/** Reports a problem with the backend. */
export type Refuse = (details: ProblemFields) => undefined;

export function endpointOf(
  backend: Located<AIBackend>,
  context: TranslationContext,
  refuse: Refuse,
): Endpoint | undefined {
  const { mode } = context;
  const { endpoint } = backend.spec;
  const address =
    endpoint.hostname === undefined
      ? serviceAddress(backend, context, refuse)
      : hostAddress(backend, endpoint.hostname, context, refuse);
  if (address === undefined) {
    return undefined;
  }
  const tls = endpoint.tls ?? { mode: endpoint.hostname === undefined ? 'Disabled' : 'System' };
  if (tls.mode === 'Disabled') {
    return address;
  }
  const hostname = tls.hostname ?? address.host;
  if (mode.type === 'Kubernetes' && addressFamily(hostname) === 0 && !isHostName(hostname.toLowerCase())) {
    const message = `"${hostname}" is not a host name`;
    const fix = 'use a host name such as api.example.com';
    return refuse({ reason: 'Invalid', path: 'spec.endpoint.tls.hostname', message, fix });
  }
  if (mode.type === 'Kubernetes' && addressFamily(hostname) !== 0) {
    return refuse({
      reason: 'Unsupported',
      path: 'spec.endpoint.tls.hostname',
      message: `Envoy Gateway cannot verify the IP address ${hostname} in a certificate`,
      fix: 'set tls.hostname to a host name of the certificate',
    });
  }
  if (tls.mode === 'System') {
    if (mode.type === 'Kubernetes' || mode.hasCaBundle) {
      return { ...address, tls: { hostname } };
    }
    return refuse({
      reason: 'Unsupported',
      path: 'spec.endpoint.tls',
      message: 'this machine has no CA bundle',
      fix: 'install ca-certificates, or use tls.mode CustomCA',
    });
  }
  const caBundle = caBundleOf(backend, context.resources, refuse);
  return caBundle && { ...address, tls: { hostname, caBundle } };
}

/** Returns the Host header for a provider. */
export function hostHeader({ host, port, tls }: Endpoint): string {
  const called = tls?.hostname ?? host;
  const name = called.includes(':') ? `[${called}]` : called;
  return port === (tls === undefined ? 80 : 443) ? name : `${name}:${port}`;
}

type EndpointAddress = Pick<Endpoint, 'host' | 'port' | 'service'>;

function hostAddress(
  backend: Located<AIBackend>,
  { name, port }: { readonly name: string; readonly port: number },
  { mode, resources }: TranslationContext,
  refuse: Refuse,
): EndpointAddress | undefined {
  const path = 'spec.endpoint.hostname.name';
  const host = name.toLowerCase();
  if (name.includes(':') && addressFamily(name) !== 6) {
    const fix = 'write only the host here, and the port in endpoint.hostname.port';
    return refuse({ reason: 'Invalid', path, message: `"${name}" is not a host name or IP address`, fix });
  }
  if (isNumber(host)) {
    const fix = 'write an IPv4 address as four decimal numbers';
    return refuse({ reason: 'Invalid', path, message: `"${name}" is not a host name or IP address`, fix });
  }
  if (mode.type === 'Kubernetes' && addressFamily(host) === 0 && !isHostName(host)) {
    const fix = 'use a host name such as api.example.com';
    return refuse({ reason: 'Invalid', path, message: `"${name}" is not a host name`, fix });
  }
  // Envoy Gateway refuses both, because each pod would resolve them differently.
  if (
    mode.type === 'Kubernetes' &&
    (addressFamily(host) === 0 ? !host.includes('.') : refusedAddress(host) === 'a loopback address')
  ) {
    return refuse({
      reason: 'Unsupported',
      path,
      message: `Envoy Gateway does not accept ${host}: a name needs a dot, and a loopback address is the proxy itself`,
      fix: 'use type Service, or a host name such as api.example.com',
    });
  }
  const reach = mode.type === 'Kubernetes' ? mode.reach : undefined;
  const refused = refusedDestination(host, reach);
  if (refused !== undefined) {
    const allowed =
      reach === undefined ? '' : ', or ask the operator to add it to controller.allowedDestinations of the chart';
    const fix = `use the provider's public host${allowed}`;
    return refuse({ reason: 'DestinationNotAllowed', path, message: `${host} is not allowed: ${refused}`, fix });
  }
  const service = mode.type === 'Kubernetes' ? serviceNamed(host, mode.reach, mode.services) : undefined;
  if (service !== undefined) {
    const from = { group: GROUP, kind: 'AIBackend', namespace: backend.metadata.namespace };
    const to = { group: '', kind: 'Service', ...service };
    if (!resources.permits(from, to)) {
      return refuse(notPermitted(from, to, path));
    }
  }
  return { host: mode.type === 'Kubernetes' ? host : name, port };
}

function notPermitted(
  from: Parameters<typeof referenceGrantHint>[0],
  to: Parameters<typeof referenceGrantHint>[1],
  path: string,
): ProblemFields {
  const message = `Service ${to.namespace}/${to.name} is in another namespace and not permitted by a ReferenceGrant there`;
  return { reason: 'RefNotPermitted', path, message, fix: referenceGrantHint(from, to) };
}

function isHostName(name: string): boolean {
  return /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name);
}

function serviceAddress(
  backend: Located<AIBackend>,
  { mode, resources }: TranslationContext,
  refuse: Refuse,
): EndpointAddress | undefined {
  const { service } = backend.spec.endpoint;
  const path = 'spec.endpoint.service';
  if (mode.type === 'Standalone' || service === undefined) {
    return refuse({
      reason: 'Unsupported',
      path,
      message: 'type Service is supported only in a cluster',
      fix: 'use type Hostname with an address that this machine can reach',
    });
  }
  const from = { group: GROUP, kind: 'AIBackend', namespace: backend.metadata.namespace };
  const to = { group: '', kind: 'Service', namespace: service.namespace ?? from.namespace, name: service.name };
  const what = `Service ${to.namespace}/${to.name}`;
  if (!resources.permits(from, to)) {
    return refuse(notPermitted(from, to, path));
  }
  if (!mode.services.has(`${to.namespace}/${to.name}`)) {
    const fix = 'create it, or correct the name';
    return refuse({ reason: 'ServiceNotFound', path: `${path}.name`, message: `${what} does not exist`, fix });
  }
  return {
    host: `${to.name}.${to.namespace}.svc`,
    port: service.port,
    service: { namespace: to.namespace, name: to.name },
  };
}

function caBundleOf(backend: Located<AIBackend>, resources: ResourceIndex, refuse: Refuse): SecretText | undefined {
  const reference = backend.spec.endpoint.tls?.caCertificateRef;
  if (reference === undefined) {
    return undefined;
  }
  const path = 'spec.endpoint.tls.caCertificateRef';
  const { namespace } = backend.metadata;
  const what = `${reference.kind} ${namespace}/${reference.name}`;
  const holder =
    reference.kind === 'Secret'
      ? resources.secret(namespace, reference.name)?.data
      : resources.configMap(namespace, reference.name)?.data;
  if (holder === undefined) {
    const found = notFound(resources, reference.kind, namespace, reference.name);
    return refuse({ reason: 'SecretNotFound', path: `${path}.name`, ...found });
  }
  const held = holder.get(reference.key);
  const pem = typeof held === 'object' ? held.reveal() : held;
  const found = certificatesIn(pem ?? '');
  // Only parsed certificates may be copied from a Secret into a ConfigMap.
  if ('pem' in found) {
    return secretText(found.pem);
  }
  return refuse({
    reason: 'InvalidSecret',
    path: `${path}.key`,
    message: `${what} ${found.wrong} under key ${reference.key}`,
    fix: `set ${reference.key} to the CA certificates only, or correct the key`,
  });
}
