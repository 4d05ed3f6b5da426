/** 4 or 6 for an IP address, 0 for a name; as `node:net` says it, which this room may not open. */
export function addressFamily(host: string): 0 | 4 | 6 {
  const octets = host.split('.');
  if (octets.length === 4 && octets.every((each) => /^\d{1,3}$/.test(each) && Number(each) <= 255)) return 4;
  return host.includes(':') && URL.canParse(`http://[${host}]/`) ? 6 : 0;
}

/** All eight groups of an IPv6 address. */
export function expandedIPv6(address: string): string {
  const short = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [head = '', tail] = short.split('::');
  const groups = (part: string | undefined): readonly string[] => (part ? part.split(':') : []);
  const [left, right] = [groups(head), groups(tail)];
  return [...left, ...Array.from({ length: 8 - left.length - right.length }, () => '0'), ...right].join(':');
}
