/** Reads the functions of a request, and which of them the model may call. */
import type { ConversationTool, JsonRecord, ToolChoice } from '../conversation.ts';
import { listOf, recordOf, stringOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { camelMembers, fieldsOf, listed, noteOthers } from './members.ts';
import { jsonSchema } from './schema.ts';

interface ToolWishes {
  readonly tools: readonly ConversationTool[];
  readonly toolChoice: ToolChoice;
}

const TOOL_MEMBERS: ReadonlySet<string> = new Set(['functionDeclarations']);
const CONFIG_MEMBERS: ReadonlySet<string> = new Set(['functionCallingConfig']);
const CONFIG_HINTS: ReadonlySet<string> = new Set(['retrievalConfig']);
const DECLARATION_MEMBERS: ReadonlySet<string> = new Set([
  ...['name', 'description', 'parameters', 'parametersJsonSchema'],
]);
/** What a function returns, and how it runs in live sessions. */
const DECLARATION_HINTS: ReadonlySet<string> = new Set(['response', 'responseJsonSchema', 'behavior']);

export function readTools(body: JsonRecord, losses: Losses): ToolWishes {
  const tools = listed(body['tools']).flatMap((value, index) => {
    const at = `tools[${index}].`;
    const tool = camelMembers(recordOf(value) ?? {});
    noteOthers(tool, at, TOOL_MEMBERS, new Set(), losses);
    return listed(tool['functionDeclarations']).flatMap((declared, place) =>
      readDeclaration(declared, `${at}functionDeclarations[${place}]`, losses),
    );
  });
  const config = camelMembers(recordOf(body['toolConfig']) ?? {});
  noteOthers(config, 'toolConfig.', CONFIG_MEMBERS, CONFIG_HINTS, losses);
  return chosen(tools, camelMembers(recordOf(config['functionCallingConfig']) ?? {}), losses);
}

function readDeclaration(value: unknown, at: string, losses: Losses): readonly ConversationTool[] {
  const declared = camelMembers(recordOf(value) ?? {});
  const fields = fieldsOf(value, losses, at);
  noteOthers(declared, `${at}.`, DECLARATION_MEMBERS, DECLARATION_HINTS, losses);
  const name = fields.text('name');
  if (name === undefined) {
    losses.invalid(`${at}.name`, 'is missing');
    return [];
  }
  const parameters = fields.record('parametersJsonSchema') ?? jsonSchema(fields.record('parameters') ?? {});
  return [
    {
      name,
      description: fields.text('description'),
      parameters: { type: 'object', properties: {}, ...parameters },
      strict: undefined,
    },
  ];
}

/** Of the functions that a call is limited to, the provider gets no others. */
function chosen(tools: readonly ConversationTool[], config: JsonRecord, losses: Losses): ToolWishes {
  const names = listOf(config['allowedFunctionNames'])?.map(stringOf) ?? [];
  const allowed = names.length === 0 ? tools : tools.filter(({ name }) => names.includes(name));
  const [only] = allowed;
  switch (stringOf(config['mode'])?.toUpperCase() ?? 'AUTO') {
    case 'AUTO':
    case 'MODE_UNSPECIFIED':
      return { tools, toolChoice: { type: 'auto' } };
    case 'VALIDATED':
      return { tools: allowed, toolChoice: { type: 'auto' } };
    case 'NONE':
      return { tools, toolChoice: { type: 'none' } };
    case 'ANY':
      return names.length > 0 && allowed.length === 1
        ? { tools, toolChoice: { type: 'tool', name: only!.name } }
        : { tools: allowed, toolChoice: { type: 'required' } };
    default:
      losses.invalid('toolConfig.functionCallingConfig.mode', 'must be AUTO, ANY, NONE or VALIDATED');
      return { tools, toolChoice: { type: 'auto' } };
  }
}
