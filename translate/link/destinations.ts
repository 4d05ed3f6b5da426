/**
 * Decides which destinations an AIBackend with an endpoint of type Hostname may have. The author of
 * an AIBackend can send requests from the proxies' network, so destinations that are reachable only
 * from there (the proxy itself, the node's cloud credentials, Services of other tenants) are
 * refused. Pure code cannot resolve names: a public DNS name that points to such an address passes
 * here, and only a NetworkPolicy stops it.
 */
import ipaddr from 'ipaddr.js';
import { addressFamily, shortest } from './ip-address.ts';

/** The platform's settings for destinations in a cluster. */
export interface Reach {
  /** The DNS suffix of the cluster's names. */
  readonly clusterDomain: string;
  /**
   * Allowed although refused by default: IP addresses, CIDR ranges, and names with their
   * subdomains.
   */
  readonly allowedDestinations: readonly string[];
}

const ranges: readonly (readonly [range: string, what: string])[] = [
  ['0.0.0.0/8', 'an unspecified address'],
  ['127.0.0.0/8', 'a loopback address'],
  ['169.254.0.0/16', 'a link-local address, which cloud metadata services use'],
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

/**
 * Returns why an address or lower-case name is refused, or undefined if allowed. Without `reach`
 * (standalone), loopback is allowed.
 */
export function refusedDestination(host: string, reach: Reach | undefined): string | undefined {
  if (reach !== undefined && isAllowedDestination(host, reach)) {
    return undefined;
  }
  const what = addressFamily(host) === 0 ? refusedName(host, reach) : refusedAddress(host);
  return reach === undefined && what === 'a loopback address' ? undefined : what;
}

/** Returns the refused range that contains an address. */
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
    ? 'a cluster-internal name that is not a Service'
    : undefined;
}

export interface ServiceName {
  readonly namespace: string;
  readonly name: string;
}

/** Known Services by `NAMESPACE/NAME`, with their cluster IPs. */
export type Services = ReadonlyMap<string, readonly string[]>;

/**
 * Returns the Service behind an address or lower-case name: a cluster IP; `NAME.NAMESPACE.svc` with
 * or without the cluster domain, and subdomains (a pod of a headless Service); and
 * `NAME.NAMESPACE`, which a pod's resolver completes, if such a Service exists. Undefined if there
 * is none, or if the platform allows the destination.
 */
export function serviceNamed(host: string, reach: Reach, services: Services): ServiceName | undefined {
  if (isAllowedDestination(host, reach)) {
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

/** Returns the fault of an item of `allowedDestinations`. */
export function wrongDestination(text: string): string | undefined {
  if (addressFamily(text) !== 0 || /^\.?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text)) {
    return isNumber(text) ? `"${text}" is not an IP address` : undefined;
  }
  return ipaddr.isValidCIDR(text) ? undefined : `"${text}" is not an IP address, CIDR range or lower-case host name`;
}

/**
 * Returns whether a resolver could read a name as an IP address, such as `127.1`: by its last label
 * (WHATWG URL).
 */
export function isNumber(name: string): boolean {
  return addressFamily(name) === 0 && /(^|\.)(\d+|0x[0-9a-f]*)$/.test(name);
}

/** Returns whether the platform allows a destination explicitly. */
export function isAllowedDestination(host: string, { allowedDestinations }: Reach): boolean {
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
