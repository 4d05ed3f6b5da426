/** `tallygate logout [URL]`: forgets the tokens for a gateway. */
import { homedir } from 'node:os';
import { OperatorError } from '../standalone/operator-error.ts';
import { configHome } from './environment.ts';
import { trustSystemAuthorities } from './sign-in/certificate-authorities.ts';
import { CredentialsFile } from './sign-in/credentials.ts';
import { gatewayUrl } from './sign-in/gateway.ts';
import { revokeCredentials } from './sign-in/identity-provider.ts';
import { writeError } from './terminal/errors.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate logout [URL]

Removes the tokens for the gateway at URL, or for that of the last tallygate login, and revokes
the refresh token at the identity provider.
`;

export const logout: Verb = async ({ args, settings }) => {
  const parsed = readOptions('logout', args, {}, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const [address, ...more] = parsed.positionals;
  const asked = address === undefined ? undefined : gatewayUrl(address);
  if (more.length > 0 || (address !== undefined && asked === undefined)) {
    return wrongUse('logout', 'write at most one URL of a gateway: https, or http on this machine', usage);
  }
  const file = new CredentialsFile(configHome(settings, homedir()));
  const { url, credentials } = await file.locked(async (stored, write) => {
    const name = asked ?? stored.current;
    const { [name ?? '']: removed, ...gateways } = stored.gateways;
    if (name === undefined || removed === undefined) {
      throw new OperatorError(`not signed in${name === undefined ? '' : ` to ${name}`}`);
    }
    write({ ...stored, current: stored.current === name ? undefined : stored.current, gateways });
    return { url: name, credentials: removed };
  });
  process.stderr.write(`Signed out of ${url}.\n`);
  trustSystemAuthorities();
  if (!(await revokeCredentials(credentials))) {
    writeError(`${credentials.signIn.issuer} did not revoke the refresh token; end the session there`);
  }
  return 0;
};
