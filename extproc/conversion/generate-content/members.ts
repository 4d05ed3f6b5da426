/** Reads members of a request by both of their names: `generationConfig`, `generation_config`. */
import type { JsonRecord } from '../conversation.ts';
import { listOf, recordOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { RequestFields } from '../reader-fields.ts';

/** Returns an object with the names of the reference; what its members contain stays as it is. */
export function camelMembers(object: JsonRecord): JsonRecord {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [camelCase(name), value]));
}

function camelCase(name: string): string {
  return name.replace(/(?<=.)_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** Returns the fields of an object inside of another one; of none if it is absent. */
export function fieldsOf(value: unknown, losses: Losses, at: string): RequestFields {
  return new RequestFields(camelMembers(recordOf(value) ?? {}), losses, `${at}.`);
}

/** The API takes a single content, part or tool in place of a list. */
export function listed(value: unknown): readonly unknown[] {
  return listOf(value) ?? (value === undefined || value === null ? [] : [value]);
}

/** Notes the members of an object that no reader knows. */
export function noteOthers(
  object: JsonRecord,
  at: string,
  known: ReadonlySet<string>,
  hints: ReadonlySet<string>,
  losses: Losses,
): void {
  for (const [name, value] of Object.entries(object)) {
    if (known.has(name) || value === null) {
      continue;
    }
    if (hints.has(name)) {
      losses.hint(at + name);
    } else {
      losses.unsupported(at + name);
    }
  }
}
