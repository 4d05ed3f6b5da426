import { chat } from './chat.ts';
import { completions, embeddings } from './completions.ts';
import { data, type MockDialect } from './dialect.ts';
import { responses } from './responses.ts';

const safe = { filtered: false, severity: 'safe' };
const promptResults = [{ prompt_index: 0, content_filter_results: { hate: safe, violence: safe } }];
const filterChunk = data({
  choices: [],
  created: 0,
  id: '',
  model: '',
  object: '',
  prompt_filter_results: promptResults,
});

/** Azure has statuses as codes, and no types. */
function azureError(status: number): unknown {
  return { error: { code: String(status), message: `mock provider error ${status}` } };
}

function azure(dialect: MockDialect, operation: string): MockDialect {
  const paths = [`/openai/v1/${operation}`, `/openai/deployments/{deployment}/${operation}`];
  return { ...dialect, paths, error: azureError };
}

/** OpenAI's APIs as Azure serves them, with the results of its content filter. */
export const azureDialects: readonly MockDialect[] = [
  {
    ...azure(chat, 'chat/completions'),
    whole: (answer) => ({ ...(chat.whole(answer) as object), prompt_filter_results: promptResults }),
    opening: (answer) => filterChunk + chat.opening(answer),
  },
  azure(completions, 'completions'),
  azure(embeddings, 'embeddings'),
  azure(responses, 'responses'),
];

/** Replaces the name of a deployment in a path. */
export function withoutDeployment(path: string): string {
  return path.replace(/^(\/openai\/deployments\/)[^/]+/, '$1{deployment}');
}
