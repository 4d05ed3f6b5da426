/**
 * What a cloud issues short-lived access tokens for: the credential of a backend, as translate
 * compiles it and the room `cloud` exchanges it. Neither reaches a data plane.
 */
import { hash } from 'node:crypto';

/** A secret that logs and JSON cannot show by accident. */
interface Hidden {
  reveal(): string;
}

export type AzureCloud = 'Public' | 'USGovernment' | 'China';

/** An application in Microsoft Entra ID. */
export interface EntraSource {
  readonly type: 'AzureEntra';
  readonly cloud: AzureCloud;
  readonly tenantId: string;
  readonly clientId: string;
  readonly scope: string;
  /** Absent: the gateway's own workload identity proves the application. */
  readonly clientSecret?: Hidden;
}

/** An identity of AWS that may call Amazon Bedrock. */
export interface AwsSource {
  readonly type: 'AWS';
  readonly region: string;
  /** Absent: the gateway's own identity. */
  readonly accessKey?: { readonly id: string; readonly secret: Hidden; readonly sessionToken?: Hidden };
  readonly roleArn?: string;
  /** Sent when a role is assumed, so that a role can admit one namespace only. */
  readonly externalId: string;
}

/** A service account of Google Cloud. */
export interface GoogleSource {
  readonly type: 'GCP';
  /** The JSON file of a key of a service account. Absent: the gateway's own identity. */
  readonly keyFile?: Hidden;
}

export type TokenSource = EntraSource | AwsSource | GoogleSource;

/** A token that a backend needs. */
export interface WantedToken {
  /** `NAMESPACE/NAME` of the AIBackend. */
  readonly backend: string;
  readonly source: TokenSource;
}

/** What is known of a wanted token. */
export interface CloudToken {
  /** Absent: there was none yet, or the last one has expired. */
  readonly token?: Hidden;
  /** Milliseconds since 1970. */
  readonly expiresAtMs?: number;
  /** Why the last attempt failed, as part of a sentence; absent after success. */
  readonly failure?: string;
}

/** Whether the source has no secret of its own and uses the gateway's identity. */
export function usesGatewayIdentity(source: TokenSource): boolean {
  switch (source.type) {
    case 'AzureEntra':
      return source.clientSecret === undefined;
    case 'AWS':
      return source.accessKey === undefined;
    case 'GCP':
      return source.keyFile === undefined;
  }
}

/**
 * Identifies a wanted token. A changed secret is another token, and no backend gets the token of
 * another one.
 */
export function wantedTokenId({ backend, source }: WantedToken): string {
  const text = JSON.stringify(source, (_, value: unknown) => (isHidden(value) ? value.reveal() : value));
  return `${backend} ${hash('sha256', text, 'base64url')}`;
}

/**
 * Identifies what stays when a backend gets another secret for the same identity: its last token is
 * used until there is one for the new secret. Undefined for the gateway's identity, whose token
 * must never serve where the identity is not allowed any more.
 */
export function replaceableTokenId({ backend, source }: WantedToken): string | undefined {
  if (usesGatewayIdentity(source)) {
    return undefined;
  }
  const text = JSON.stringify(source, (name, value: unknown) => (isHidden(value) || name === 'accessKey' ? '' : value));
  return `${backend} of ${hash('sha256', text, 'base64url')}`;
}

/** Returns what is known of a token, or of the one that it replaces. */
export function knownToken(tokens: ReadonlyMap<string, CloudToken>, wanted: WantedToken): CloudToken | undefined {
  return tokens.get(wantedTokenId(wanted)) ?? tokens.get(replaceableTokenId(wanted) ?? '');
}

function isHidden(value: unknown): value is Hidden {
  return typeof value === 'object' && value !== null && 'reveal' in value && typeof value.reveal === 'function';
}
