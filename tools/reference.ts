/** Generates pages of docs/reference from the JSON Schema of the CRDs. */
import type { ConditionDefinition } from '../crds/conditions.ts';
import { type JsonSchema, jsonSchema } from '../crds/custom-resource.ts';
import type { KindDefinition } from '../crds/kinds.ts';
import { API_VERSION } from '../crds/schema.ts';

const notice = '<!-- Generated from crds/ by `make generate`. Do not edit. -->';

export function kindPage(definition: KindDefinition, example: string): string {
  const spec = jsonSchema(definition.spec);
  const sections: string[] = [];
  collect(spec, 'spec', sections);
  return `${[
    notice,
    `# ${definition.kind}`,
    `\`${API_VERSION}\`, short name \`${definition.shortName}\`. ${spec.description ?? ''}`,
    '## Example',
    `\`\`\`yaml\n${example.trimEnd()}\n\`\`\``,
    '## Fields',
    'Fields in **bold** are required.',
    ...sections,
  ].join('\n\n')}\n`;
}

export function conditionsPage(conditions: Readonly<Record<string, ConditionDefinition>>): string {
  const sections = Object.entries(conditions).flatMap(([type, { on, description: summary, reasons }]) => [
    `## ${type}`,
    `On ${on.join(', ')}. ${summary}`,
    [
      '| Status | Reason | When |',
      '|---|---|---|',
      ...Object.entries(reasons).map(
        ([reason, { status, description }]) => `| ${status} | \`${reason}\` | ${description} |`,
      ),
    ].join('\n'),
  ]);
  return `${[
    notice,
    '# Conditions',
    'The conditions that Tallygate writes to `status`. Types and reasons are stable, so scripts may wait for them. Messages may change.',
    ...sections,
  ].join('\n\n')}\n`;
}

/** Appends a table for this object, then one for each nested object. */
function collect(schema: JsonSchema, path: string, sections: string[]): void {
  const required = new Set(schema.required);
  const rows = Object.entries(schema.properties ?? {}).map(([name, member]) => {
    const shown = required.has(name) ? `**\`${name}\`**` : `\`${name}\``;
    return `| ${shown} | ${typeOf(member)} | ${defaultOf(member)} | ${cell(description(member))} |`;
  });
  const rules = (schema['x-kubernetes-validations'] ?? []).map(({ message }) => `- ${message}`);
  sections.push(
    `### ${path}`,
    ['| Field | Type | Default | Meaning |', '|---|---|---|---|', ...rows].join('\n'),
    ...(rules.length === 0 ? [] : [rules.join('\n')]),
  );
  for (const [name, member] of Object.entries(schema.properties ?? {})) {
    if (member.properties !== undefined) {
      collect(member, `${path}.${name}`, sections);
    }
    if (member.items?.properties !== undefined) {
      collect(member.items, `${path}.${name}[]`, sections);
    }
  }
}

function description(schema: JsonSchema): string {
  const rules = schema.properties === undefined ? (schema['x-kubernetes-validations'] ?? []) : [];
  const bounds = [
    schema.minimum !== undefined || schema.maximum !== undefined ? range(schema.minimum, schema.maximum) : undefined,
    schema.maxItems === undefined ? undefined : `${schema.minItems ?? 0} to ${schema.maxItems} entries.`,
    ...rules.map(({ message }) => `Rule: ${message}.`),
  ];
  return [schema.description ?? schema.items?.description, ...bounds].filter((each) => each !== undefined).join(' ');
}

function range(minimum = 0, maximum?: number): string {
  const open = maximum === undefined || maximum >= 2 ** 31 - 1;
  return open ? `At least ${minimum}.` : `${minimum} to ${maximum}.`;
}

function typeOf(schema: JsonSchema): string {
  if (schema.enum !== undefined) {
    return schema.enum.map((each) => `\`${each}\``).join(', ');
  }
  if (schema.type === 'array') {
    return `list of ${schema.items === undefined ? 'values' : typeOf(schema.items)}`;
  }
  if (schema.additionalProperties !== undefined) {
    return `map of ${typeOf(schema.additionalProperties)}`;
  }
  return schema.type ?? (schema['x-kubernetes-int-or-string'] ? 'integer or string' : 'any');
}

function defaultOf(schema: JsonSchema): string {
  return schema.default === undefined
    ? ''
    : `\`${typeof schema.default === 'string' ? schema.default : JSON.stringify(schema.default)}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
