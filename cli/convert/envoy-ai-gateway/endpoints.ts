/** Backends of Envoy Gateway and their TLS policies become endpoints of AIBackends. */
import { X509Certificate } from 'node:crypto';
import type { Place } from '../draft.ts';
import type { SourceField } from '../source-field.ts';
import { type ForeignResource, type ForeignResources, targetsOf } from './resources.ts';
import type { ForeignSecrets } from './secrets.ts';

export interface ForeignEndpoint {
  readonly spec: object;
  /** Leaves the verdicts on the fields that it comes from. */
  readonly report: (place: Place) => void;
}

const inCluster =
  'A Service. In the cluster, use type Service with its name and port; as a host name, the operator must allow it.';

/** Undefined if the files have no address of the backend. */
export function endpointOfBackend(
  { field, namespace }: ForeignResource,
  resources: ForeignResources,
  secrets: ForeignSecrets,
): ForeignEndpoint | undefined {
  const reference = field.at('spec', 'backendRef');
  const name = reference?.at('name')?.text;
  const of = reference?.at('namespace')?.text ?? namespace;
  const backend = resources.find('Backend', of, name);
  const [first, ...others] = backend?.field.at('spec', 'endpoints')?.items ?? [];
  const address = first?.at('fqdn') ?? first?.at('ip');
  const isService = backend === undefined && reference?.at('kind')?.text === 'Service' && name !== undefined;
  const external = isService ? resources.find('Service', of, name)?.field.at('spec', 'externalName')?.text : undefined;
  const host = isService
    ? (external ?? `${name}.${of}.svc.cluster.local`)
    : (address?.at('hostname') ?? address?.at('address'))?.text;
  const port = (isService ? reference?.at('port') : address?.at('port'))?.number;
  if (host === undefined) {
    return undefined;
  }
  // The name that Tallygate connects to; 0.0.0.0 is an address to listen on.
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host;
  const tls = tlsOf(of, name ?? '', reached, backend, resources, secrets);
  return {
    spec: {
      type: 'Hostname',
      hostname: { name: reached, ...(port !== undefined && { port }) },
      ...(tls.spec !== undefined && { tls: tls.spec }),
    },
    report(place) {
      const source = address ?? reference;
      if (/\.svc(\.|$)/.test(host)) {
        source?.differs(place, inCluster);
      } else {
        source?.becomes(place);
      }
      reference?.becomes(place);
      for (const other of others) {
        other.hasNoEqual('an AIBackend has one endpoint', 'write an AIBackend for it and add it to the rule');
      }
      for (const used of tls.fields) {
        used.becomes(place);
      }
    },
  };
}

interface ForeignTls {
  readonly spec?: object;
  readonly fields: readonly SourceField[];
}

function tlsOf(
  namespace: string,
  name: string,
  host: string,
  backend: ForeignResource | undefined,
  resources: ForeignResources,
  secrets: ForeignSecrets,
): ForeignTls {
  const policy = resources
    .of('BackendTLSPolicy')
    .find((each) => each.namespace === namespace && targetsOf(each).some((target) => target.at('name')?.text === name));
  const settings = policy?.field.at('spec', 'validation') ?? backend?.field.at('spec', 'tls');
  if (settings === undefined) {
    return { spec: { mode: 'Disabled' }, fields: [] };
  }
  const hostnameField = settings.at('hostname') ?? settings.at('sni');
  const hostname = hostnameField?.text;
  const [reference, ...more] = settings.at('caCertificateRefs')?.items ?? [];
  for (const each of more) {
    each.hasNoEqual('an AIBackend has one reference to certificates', 'put all certificates into one object');
  }
  settings
    .at('insecureSkipVerify')
    ?.hasNoEqual("Tallygate always verifies a provider's certificate", 'use CustomCA with its certificate');
  const ca = reference?.at('name')?.text;
  const other = hostname !== undefined && hostname !== host ? { hostname } : {};
  const fields = [
    hostnameField,
    reference,
    settings.at('wellKnownCACertificates'),
    ...(policy === undefined ? [] : targetsOf(policy)),
  ];
  const used = fields.filter((each) => each !== undefined);
  const hostnameOnly = hostname !== undefined && hostname !== host ? { spec: { mode: 'System', ...other } } : {};
  const certificates =
    ca === undefined ? undefined : resources.find('ConfigMap', namespace, ca)?.field.at('data', 'ca.crt');
  if (reference === undefined || ca === undefined) {
    return { ...hostnameOnly, fields: used };
  }
  if (certificates?.text === undefined || !isCertificate(certificates.text)) {
    const fix = `set tls of the AIBackend: mode CustomCA, and ${ca} as its caCertificateRef`;
    reference.hasNoEqual('no ConfigMap of the files has these CA certificates', fix);
    return { ...hostnameOnly, fields: used.filter((each) => each !== reference) };
  }
  const object = secrets.certificates({ namespace, name: ca }, certificates.text);
  certificates.becomes(object.place(object.object.data ?? object.object, 'ca.crt'));
  return { spec: { mode: 'CustomCA', caCertificateRef: { name: ca }, ...other }, fields: used };
}

function isCertificate(text: string): boolean {
  try {
    new X509Certificate(text);
    return true;
  } catch {
    return false;
  }
}
