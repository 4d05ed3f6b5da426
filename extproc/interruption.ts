/** Who interrupted an exchange and why: Envoy's response flags and details, classified. */

/** As in Envoy's access log; an empty string where Envoy reports nothing. */
export interface Interruption {
  /** `%RESPONSE_FLAGS%` */
  readonly flags: string;
  /** `%RESPONSE_CODE_DETAILS%` */
  readonly details: string;
  /** `%UPSTREAM_TRANSPORT_FAILURE_REASON%` */
  readonly transportFailure: string;
}

export type InterruptedBy = 'client' | 'backend' | 'timeout';

/** Why a backend sent no response or an incomplete one. */
export type BackendFailure = 'address' | 'connect' | 'tls' | 'reset' | 'timeout' | 'protocol' | 'other';

/** Envoy reports no interruption when the client left. */
export function interruptedBy(broken: Interruption | undefined): InterruptedBy {
  if (broken === undefined) {
    return 'client';
  }
  return backendFailure(broken) === 'timeout' ? 'timeout' : 'backend';
}

/**
 * Envoy's details begin with a phrase from a closed list:
 * https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/response_code_details
 */
export function backendFailure({ details, transportFailure }: Interruption): BackendFailure {
  if (/timeout|max_duration/.test(details)) {
    return 'timeout';
  }
  if (/no_healthy_upstream|cluster_not_found|dns_resolution/.test(details)) {
    return 'address';
  }
  if (/connection_failure/.test(details)) {
    return /TLS|SSL|CERTIFICATE/i.test(details + transportFailure) ? 'tls' : 'connect';
  }
  // In HTTP/1 a response that ends too early is a protocol error.
  if (/protocol_error/.test(details) && !/after_response_started/.test(details)) {
    return 'protocol';
  }
  return /^upstream_reset/.test(details) ? 'reset' : 'other';
}

/**
 * Parses the header of Envoy's local replies: flags, details, transport failure; `-` for an absent
 * one.
 */
export function interruptionOf(reply: string): Interruption {
  const [flags = '', details = '', ...rest] = reply.split(' ').map((word) => (word === '-' ? '' : word));
  return { flags, details, transportFailure: rest.join(' ') };
}
