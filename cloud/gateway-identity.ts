/**
 * The identity that a cloud gives to this process, as the clouds' own libraries find it: by
 * environment variables and files.
 */
import { readFileSync } from 'node:fs';

export interface GatewayIdentity {
  /** Returns undefined for an absent or empty variable. */
  variable(name: IdentityVariable): string | undefined;
  /** Returns the content of the file that a variable names, without white space around it. */
  file(path: string): string;
}

export const identityVariables = [
  'AZURE_FEDERATED_TOKEN_FILE',
  'AWS_ROLE_ARN',
  'AWS_WEB_IDENTITY_TOKEN_FILE',
  'AWS_CONTAINER_CREDENTIALS_FULL_URI',
  'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE',
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'AWS_SESSION_TOKEN',
  'GOOGLE_APPLICATION_CREDENTIALS',
  'GCE_METADATA_HOST',
] as const;

type IdentityVariable = (typeof identityVariables)[number];

/** The files are read each time, because clouds renew the tokens in them. */
export function newGatewayIdentity(environment: Readonly<Record<string, string | undefined>>): GatewayIdentity {
  return {
    variable: (name) => environment[name] || undefined,
    file(path) {
      try {
        return readFileSync(path, 'utf8').trim();
      } catch (error) {
        throw new Error(`the file ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
      }
    },
  };
}
