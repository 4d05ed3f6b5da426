/** IP addresses in the forms that Envoy takes. Short, octal and hexadecimal forms of IPv4 are none: resolvers read them differently. */
import ipaddr from 'ipaddr.js';

/** Returns 4 or 6 for an IP address, 0 for a name. */
export function addressFamily(host: string): 0 | 4 | 6 {
  if (ipaddr.IPv4.isValidFourPartDecimal(host)) {
    return 4;
  }
  return host.includes(':') && ipaddr.IPv6.isValid(host) ? 6 : 0;
}

/** Writes out all eight groups of an IPv6 address. */
export function expandedIPv6(address: string): string {
  return ipaddr.IPv6.parse(address).toNormalizedString();
}

/** Writes an address as Kubernetes does (RFC 5952). */
export function shortest(address: string): string {
  const parsed = ipaddr.parse(address);
  return parsed instanceof ipaddr.IPv6 ? parsed.toRFC5952String() : parsed.toString();
}
