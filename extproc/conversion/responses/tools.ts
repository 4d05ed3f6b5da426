/** Reads the tools of requests, and the choice among them. */
import type { ConversationTool, JsonRecord, ToolChoice } from '../conversation.ts';
import { listOf, recordOf, stringOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { RequestFields } from '../reader-fields.ts';
import { customToolParameters, functionName } from './tool-names.ts';

/** Members of a tool that only help OpenAI's API. */
const TOOL_HINTS = ['defer_loading', 'allowed_callers', 'output_schema', 'async'];

interface ReadTools {
  readonly tools: readonly ConversationTool[];
  readonly toolChoice: ToolChoice;
}

export function readTools(fields: RequestFields, losses: Losses): ReadTools {
  const tools = fields.records('tools').flatMap(({ object, at }) => readTool(object, at, losses));
  return chooseTools(tools, fields.any('tool_choice'), losses);
}

function readTool(object: JsonRecord, at: string, losses: Losses): readonly ConversationTool[] {
  if (object['type'] !== 'namespace') {
    return toolOf(object, at, undefined, losses);
  }
  const fields = new RequestFields(object, losses, `${at}.`);
  const namespace = fields.text('name') ?? '';
  if (fields.any('description') !== undefined) {
    losses.hint(`${at}.description`);
  }
  return fields.records('tools').flatMap((member) => toolOf(member.object, member.at, namespace, losses));
}

function toolOf(
  object: JsonRecord,
  at: string,
  namespace: string | undefined,
  losses: Losses,
): readonly ConversationTool[] {
  const { type } = object;
  if (type !== 'function' && type !== 'custom') {
    losses.unsupported(at, 'Use tools of the types function and custom');
    return [];
  }
  const fields = new RequestFields(object, losses, `${at}.`);
  const name = fields.text('name');
  if (name === undefined) {
    losses.invalid(`${at}.name`, 'is missing');
    return [];
  }
  for (const hint of TOOL_HINTS) {
    if (fields.any(hint) !== undefined) {
      losses.hint(`tools.${hint}`);
    }
  }
  const description = fields.text('description');
  const named = { name: functionName(name, namespace), strict: fields.flag('strict') };
  if (type === 'custom') {
    return [{ ...named, description: customDescription(fields, losses), parameters: customToolParameters }];
  }
  return [{ ...named, description, parameters: fields.record('parameters') ?? { type: 'object', properties: {} } }];
}

/** Other APIs cannot hold a model to a grammar, so the model is asked to follow the grammar. */
function customDescription(fields: RequestFields, losses: Losses): string | undefined {
  const description = fields.text('description');
  const format = fields.record('format');
  const definition = stringOf(format?.['definition']);
  if (format?.['type'] !== 'grammar' || definition === undefined) {
    return description;
  }
  losses.hint('tools.format');
  const syntax = stringOf(format['syntax']) ?? '';
  const grammar = `The input must match this ${syntax} grammar:\n\n${definition}`;
  return description === undefined ? grammar : `${description}\n\n${grammar}`;
}

function chooseTools(tools: readonly ConversationTool[], choice: unknown, losses: Losses): ReadTools {
  if (choice === undefined || choice === 'auto') {
    return { tools, toolChoice: { type: 'auto' } };
  }
  if (choice === 'none' || choice === 'required') {
    return { tools, toolChoice: { type: choice } };
  }
  const chosen = recordOf(choice);
  const name = nameOf(chosen);
  if (name !== undefined) {
    return { tools, toolChoice: { type: 'tool', name } };
  }
  const allowed = listOf(chosen?.['tools'])?.map((each) => nameOf(recordOf(each)));
  if (chosen?.['type'] !== 'allowed_tools' || allowed === undefined) {
    losses.unsupportedOption('toolChoice', 'Use auto, none, required, allowed_tools or one tool');
    return { tools, toolChoice: { type: 'auto' } };
  }
  // Other APIs have no such list, so the model does not see the other tools.
  const type = chosen['mode'] === 'required' ? 'required' : 'auto';
  return { tools: tools.filter((tool) => allowed.includes(tool.name)), toolChoice: { type } };
}

function nameOf(reference: JsonRecord | undefined): string | undefined {
  const isOwn = reference?.['type'] === 'function' || reference?.['type'] === 'custom';
  const name = stringOf(reference?.['name']);
  return isOwn && name !== undefined ? functionName(name, stringOf(reference['namespace'])) : undefined;
}
