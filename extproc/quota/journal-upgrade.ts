/**
 * Splits a journal of schema version 3, which had usage in the same file. The large tables stay
 * where they are: the file becomes that of usage, and the small ones are copied to a new file.
 */
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { APPLICATION_ID, damaged, journalSchema } from './journal-database.ts';
import { usagePath } from './usage-database.ts';

const VERSION = 3;

const copy = `
  BEGIN;
  ${journalSchema}
  UPDATE applied SET log = (SELECT log FROM old.applied), usage = (SELECT id FROM old.usage_written);
  INSERT INTO quota SELECT * FROM old.quota;
  INSERT INTO window (id, quota, bucket, key_values, kind, start_ms, spent, carried, over)
    SELECT id, quota, bucket, key_values, kind, start_ms, spent, carried, over FROM old.window;
  INSERT INTO segment SELECT * FROM old.segment;
  INSERT INTO hold SELECT id, parts, subject FROM old.hold;
  COMMIT;
`;

/**
 * Splits the file if it has that version. The caller holds the lock of the journal. A process that
 * ends on the way leaves either the old file, or both new ones with the first one still to rename.
 */
export function splitUsage(path: string): void {
  const next = `${path}.upgrade`;
  if (!existsSync(path)) {
    if (existsSync(next)) {
      renameSync(next, path);
    }
    return;
  }
  if (!hasUsage(path)) {
    return;
  }
  rmSync(next, { force: true });
  closeSync(openSync(next, 'w', 0o600));
  try {
    copyTables(path, next);
  } catch (error) {
    throw damaged(path, error);
  }
  // A file of usage that is there already is newer than a journal that was restored from a backup.
  if (!existsSync(usagePath(path))) {
    renameSync(path, usagePath(path));
  }
  renameSync(next, path);
  const folder = openSync(dirname(path), 'r');
  fsyncSync(folder);
  closeSync(folder);
}

function hasUsage(path: string): boolean {
  const file = new DatabaseSync(path);
  try {
    const pragma = (name: string) => Object.values(file.prepare(`PRAGMA ${name}`).get() ?? {})[0];
    return pragma('application_id') === APPLICATION_ID && pragma('user_version') === VERSION;
  } catch {
    // Reported when the file is opened as a journal.
    return false;
  } finally {
    file.close();
  }
}

function copyTables(path: string, next: string): void {
  const file = new DatabaseSync(next);
  try {
    file.prepare('ATTACH ? AS old').run(path);
    for (const table of ['applied', 'quota', 'window', 'segment', 'hold', 'usage_written']) {
      const check = Object.values(file.prepare(`PRAGMA old.quick_check(${table})`).get() ?? {})[0];
      if (check !== 'ok') {
        throw new Error(String(check));
      }
    }
    file.exec(copy);
    file.exec('PRAGMA old.wal_checkpoint(TRUNCATE)');
  } finally {
    file.close();
  }
}
