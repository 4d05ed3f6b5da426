/** API keys in a YAML file of resources. Edits leave all other documents as they are. */
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { parseDocument } from 'yaml';
import { writeAtomicallySync } from '../runtime/files.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import type { ApiKeyStore } from './api-key-store.ts';
import { isKeySecret, type KeySecret, keySecretYaml } from './key-secret.ts';

const NEW_FILE_MODE = 0o644;
/** A line that begins a document; YAML allows none inside a block of text. */
const documentStart = /^(?=---(?:\s|$))/m;

export function keyFile(path: string, namespace: string): ApiKeyStore {
  return {
    place: path,
    namespace,
    list: async () => keysIn(path, read(path)).filter((secret) => namespaceOf(secret) === namespace),
    create: async (secret) => {
      const text = existsSync(path) ? read(path) : '';
      const { name } = secret.metadata;
      if (keysIn(path, text).some((other) => isNamed(other, name, namespace))) {
        throw new OperatorError(`${path} already has a Secret ${namespace}/${name}; choose another name by --name`);
      }
      const separator = text === '' ? '' : `${text.endsWith('\n') ? '' : '\n'}---\n`;
      write(path, text + separator + keySecretYaml(secret));
    },
    remove: async (name) => {
      const documents = read(path).split(documentStart);
      const kept = documents.filter((text) => !keysIn(path, text).some((secret) => isNamed(secret, name, namespace)));
      if (kept.length === documents.length) {
        return false;
      }
      write(path, kept.join(''));
      return true;
    },
    close: () => {},
  };
}

function keysIn(path: string, text: string): readonly KeySecret[] {
  return text.split(documentStart).flatMap((part) => {
    const document = parseDocument(part);
    const [error] = document.errors;
    if (error !== undefined) {
      throw new OperatorError(`${path} is not valid YAML; correct it first: ${error.message.split('\n')[0]}`);
    }
    const value: unknown = document.toJS();
    return isKeySecret(value) ? [value] : [];
  });
}

function isNamed(secret: KeySecret, name: string, namespace: string): boolean {
  return secret.metadata.name === name && namespaceOf(secret) === namespace;
}

function namespaceOf({ metadata }: KeySecret): string {
  return metadata.namespace ?? 'default';
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new OperatorError(`cannot read ${path}: ${(error as NodeJS.ErrnoException).code}; correct --file`);
  }
}

/** Keeps mode and links. A gateway that follows the file reads the old text or the new one. */
function write(path: string, text: string): void {
  try {
    const target = existsSync(path) ? realpathSync(path) : path;
    writeAtomicallySync(target, text, existsSync(target) ? statSync(target).mode & 0o777 : NEW_FILE_MODE);
  } catch (error) {
    throw new OperatorError(`cannot write ${path}: ${(error as NodeJS.ErrnoException).code}; correct --file`);
  }
}
