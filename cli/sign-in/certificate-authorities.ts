/** The certificate authorities that verify gateways and identity providers. */
import tls from 'node:tls';

/**
 * Trusts the system's authorities besides those of Node: a company installs its own there. Reading
 * them takes 0.1 s, so only commands that need the network do. SSL_CERT_FILE replaces the system's.
 */
export function trustSystemAuthorities(): void {
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), ...tls.getCACertificates('system')]);
}
