/** 4 or 6 for an IP address, 0 for a name; as `node:net` says it, which this room may not open. */
export function addressFamily(host: string): 0 | 4 | 6 {
  const octets = host.split('.');
  if (octets.length === 4 && octets.every((each) => /^\d{1,3}$/.test(each) && Number(each) <= 255)) return 4;
  return host.includes(':') && URL.canParse(`http://[${host}]/`) ? 6 : 0;
}
