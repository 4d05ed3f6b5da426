/**
 * Decides which addresses the name of a service may resolve to. Translate has checked the name; a
 * name that leads to this pod or to the credentials of the node was made for that.
 */
import { BlockList, isIP } from 'node:net';
import type { DestinationGuard } from '../../../runtime/guarded-request.ts';

const refused = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 4],
  ['100.100.100.200', 32],
  ['168.63.129.16', 32],
  ['192.0.0.192', 32],
] as const) {
  refused.addSubnet(network, prefix, 'ipv4');
}
for (const [network, prefix] of [
  ['::', 127],
  ['fe80::', 10],
  ['ff00::', 8],
  ['fd00:ec2::', 32],
  ['fd20:ce::254', 128],
] as const) {
  refused.addSubnet(network, prefix, 'ipv6');
}

/** Translate has decided about hosts: an address, `localhost`, and whether TLS is necessary. */
export const serviceGuard: DestinationGuard = {
  allowsPlainHttp: () => true,
  refusal(host, address) {
    const isOwn = host === address || host === 'localhost';
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    return !isOwn && refused.check(address, family)
      ? 'a name of a loopback, link-local or metadata address'
      : undefined;
  },
  linkRefusal: () => 'a redirect',
};
