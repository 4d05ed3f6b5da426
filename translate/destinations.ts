/**
 * Decides where an AIBackend with an endpoint of type Hostname may lead. Whoever writes an AIBackend sends requests from the proxies' network, so what is reachable
 * only from there (the proxy itself, the node's cloud credentials, Services of other tenants) is refused. Pure code cannot know what a name resolves to: a name of
 * public DNS that points to such an address passes here, and only a NetworkPolicy stops it.
 */
import ipaddr from 'ipaddr.js';
import { addressFamily, shortest } from './ip-address.ts';

/** What the platform says about destinations of a cluster. */
export interface Reach {
  /** The DNS suffix of the cluster's own names. */
  readonly clusterDomain: string;
  /** Exceptions to what is refused: IP addresses, CIDR ranges, and names, which include what is below them. */
  readonly allowedDestinations: readonly string[];
}

const ranges: readonly (readonly [range: string, what: string])[] = [
  ['0.0.0.0/8', 'an unspecified address'],
  ['127.0.0.0/8', 'a loopback address'],
  ['169.254.0.0/16', 'a link-local address, as the metadata services of cloud providers have'],
  ['224.0.0.0/4', 'a multicast address'],
  ['255.255.255.255/32', 'the broadcast address'],
  // Alibaba, Azure and Oracle; the others are link-local.
  ['100.100.100.200/32', 'the address of a metadata service'],
  ['168.63.129.16/32', 'the address of a metadata service'],
  ['192.0.0.192/32', 'the address of a metadata service'],
  ['::/128', 'an unspecified address'],
  ['::1/128', 'a loopback address'],
  ['fe80::/10', 'a link-local address'],
  ['ff00::/8', 'a multicast address'],
  // AWS and Google.
  ['fd00:ec2::/32', 'the address of a metadata service'],
  ['fd20:ce::254/128', 'the address of a metadata service'],
  // Forms of IPv4: compatible, mapped, translated, NAT64 (two), 6to4, Teredo.
  ...['::/96', '::ffff:0:0/96', '::ffff:0:0:0/96', '64:ff9b::/96', '64:ff9b:1::/48', '2002::/16', '2001::/32'].map(
    (range) => [range, 'an IPv6 form of an IPv4 address'] as const,
  ),
];
const refusedRanges = ranges.map(([range, what]) => ({ cidr: ipaddr.parseCIDR(range), what }));

const metadataNames = ['metadata.google.internal', 'metadata.goog', 'instance-data.ec2.internal'];
const loopbackNames = ['localhost', 'localhost.localdomain'];

/** Says why nothing may be sent to an address or a name in lower case; undefined: it may. `reach` absent: on one machine, where loopback is for everybody. */
export function refusedDestination(host: string, reach: Reach | undefined): string | undefined {
  if (reach !== undefined && isAllowed(host, reach)) {
    return undefined;
  }
  const what = addressFamily(host) === 0 ? refusedName(host, reach) : refusedAddress(host);
  return reach === undefined && what === 'a loopback address' ? undefined : what;
}

/** Names the range of an address that is refused. */
export function refusedAddress(address: string): string | undefined {
  return refusedRanges.find(({ cidr }) => contains(cidr, address))?.what;
}

function refusedName(name: string, reach: Reach | undefined): string | undefined {
  if (loopbackNames.some((each) => isBelow(name, each))) {
    return 'a loopback address';
  }
  if (metadataNames.some((each) => isBelow(name, each))) {
    return 'the name of a metadata service';
  }
  if (reach === undefined) {
    return undefined;
  }
  // CoreDNS resolves 10-0-0-1.NAMESPACE.pod to any such address.
  const own = withoutDomain(name, reach);
  const isService = own.endsWith('.svc') && own.split('.').length >= 3;
  return own.endsWith('.pod') || (own !== name && !isService)
    ? 'a name inside the cluster that is no Service'
    : undefined;
}

export interface ServiceName {
  readonly namespace: string;
  readonly name: string;
}

/** Services that are known, by `NAMESPACE/NAME`, with their addresses in the cluster. */
export type Services = ReadonlyMap<string, readonly string[]>;

/**
 * Finds the Service that an address or a name in lower case leads to: its cluster IP; `NAME.NAMESPACE.svc`, with or without the cluster's domain, also below it (a pod of a
 * headless Service); and `NAME.NAMESPACE`, which the resolver of a pod completes, where there is such a Service. Undefined: none, or one that the platform allows.
 */
export function serviceNamed(host: string, reach: Reach, services: Services): ServiceName | undefined {
  if (isAllowed(host, reach)) {
    return undefined;
  }
  if (addressFamily(host) !== 0) {
    const address = shortest(host);
    const found = [...services].find(([, addresses]) => addresses.includes(address))?.[0];
    const [namespace = '', name = ''] = found?.split('/') ?? [];
    return found === undefined ? undefined : { namespace, name };
  }
  const own = withoutDomain(host, reach);
  const labels = own.split('.');
  const [name = '', namespace = ''] = (own.endsWith('.svc') ? labels.slice(0, -1) : labels).slice(-2);
  if (own.endsWith('.svc') ? labels.length < 3 : !services.has(`${namespace}/${name}`)) {
    return undefined;
  }
  return { namespace, name };
}

/** Says what is wrong with one of `allowedDestinations`. */
export function wrongDestination(text: string): string | undefined {
  if (addressFamily(text) !== 0 || /^\.?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text)) {
    return isNumber(text) ? `"${text}" is no IP address` : undefined;
  }
  return ipaddr.isValidCIDR(text)
    ? undefined
    : `"${text}" is no IP address, no CIDR range and no host name in lower case`;
}

/** Tells whether a name could be taken for an IP address, as in `127.1`: by its last label (WHATWG URL). */
export function isNumber(name: string): boolean {
  return addressFamily(name) === 0 && /(^|\.)(\d+|0x[0-9a-f]*)$/.test(name);
}

function isAllowed(host: string, { allowedDestinations }: Reach): boolean {
  const isName = addressFamily(host) === 0;
  return allowedDestinations.some((each) => {
    const range = each.includes('/')
      ? each
      : addressFamily(each) === 0
        ? undefined
        : `${each}/${each.includes(':') ? 128 : 32}`;
    if (range === undefined) {
      return isName && isBelow(host, each.replace(/^\./, ''));
    }
    return !isName && contains(ipaddr.parseCIDR(range), host);
  });
}

function contains(range: ReturnType<typeof ipaddr.parseCIDR>, host: string): boolean {
  const address = ipaddr.parse(host);
  return address.kind() === range[0].kind() && address.match(range);
}

function isBelow(name: string, suffix: string): boolean {
  return name === suffix || name.endsWith(`.${suffix}`);
}

function withoutDomain(name: string, { clusterDomain }: Reach): string {
  return name.endsWith(`.${clusterDomain}`) ? name.slice(0, -clusterDomain.length - 1) : name;
}
