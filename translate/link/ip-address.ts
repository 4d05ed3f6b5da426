/**
 * IP addresses in the forms that Envoy accepts. Excludes short, octal and hexadecimal IPv4 forms,
 * which resolvers read differently.
 */
import ipaddr from 'ipaddr.js';

/** Returns 4 or 6 for an IP address, 0 for a name. */
export function addressFamily(host: string): 0 | 4 | 6 {
  if (ipaddr.IPv4.isValidFourPartDecimal(host)) {
    return 4;
  }
  return host.includes(':') && ipaddr.IPv6.isValid(host) ? 6 : 0;
}

/** Returns an IPv6 address with all eight groups. */
export function expandedIPv6(address: string): string {
  return ipaddr.IPv6.parse(address).toNormalizedString();
}

/** Returns an address in the form that Kubernetes uses (RFC 5952). */
export function shortest(address: string): string {
  const parsed = ipaddr.parse(address);
  return parsed instanceof ipaddr.IPv6 ? parsed.toRFC5952String() : parsed.toString();
}
