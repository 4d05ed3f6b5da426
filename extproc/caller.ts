/** The identity of a caller, as an access policy has proven it. */
export interface Caller {
  readonly tenant: string | undefined;
  readonly user: string | undefined;
  readonly groups: readonly string[];
  /** `NAMESPACE/SECRET` of the API key; undefined for other credentials. */
  readonly apiKey: string | undefined;
  /** Returns a claim of the caller's token, if it has one value. */
  claim(name: string): string | undefined;
}

export type AuthenticationMethod = 'api_key' | 'jwt' | 'client_certificate';
