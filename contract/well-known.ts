/** The document at `/.well-known/tallygate`, which tells command lines how to sign in. */
import type { SignIn } from './access-policy.ts';

export const WELL_KNOWN_PATH = '/.well-known/tallygate';

/** Returns the document without unknown fields, or what is wrong with it. */
export function readSignIn(document: unknown): SignIn | { readonly problem: string } {
  if (typeof document !== 'object' || document === null) {
    return { problem: 'is not a JSON object' };
  }
  const { issuer, clientId, audiences, scopes, token } = document as Readonly<Record<string, unknown>>;
  if (typeof issuer !== 'string' || !URL.canParse(issuer)) {
    return { problem: 'has no issuer with a URL' };
  }
  if (typeof clientId !== 'string' || clientId === '') {
    return { problem: 'has no clientId' };
  }
  if (!isTextList(audiences) || !isTextList(scopes)) {
    return { problem: 'has no lists audiences and scopes' };
  }
  if (token !== 'access' && token !== 'id') {
    return { problem: 'has no token that is access or id' };
  }
  return { issuer, clientId, audiences, scopes, token };
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
