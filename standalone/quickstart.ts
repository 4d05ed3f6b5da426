/**
 * The example that runs if no file is named: a simulated model, and the providers whose API keys
 * are set.
 */
import { fileURLToPath } from 'node:url';

export interface Quickstart {
  readonly paths: readonly string[];
  /** Returns the lines to print: what to try with a gateway at this address. */
  lines(url: string): readonly string[];
}

export interface ProviderKeys {
  readonly OPENAI_API_KEY: string | undefined;
  readonly ANTHROPIC_API_KEY: string | undefined;
}

const question = [{ role: 'user', content: 'Hello, who are you?' }];

export function quickstart(keys: ProviderKeys): Quickstart {
  const example = (name: string) => fileURLToPath(new URL(`../examples/${name}.yaml`, import.meta.url));
  const { OPENAI_API_KEY: openai, ANTHROPIC_API_KEY: anthropic } = keys;
  return {
    paths: [
      example('quickstart'),
      ...(openai ? [example('quickstart-openai')] : []),
      ...(anthropic ? [example('quickstart-anthropic')] : []),
    ],
    lines: (url) => [
      'Try it:',
      chat(url, { model: 'tallygate/echo', max_completion_tokens: 50, messages: question }, '-i'),
      '',
      'Watch a stream end when the budget of 500 tokens per minute is used up:',
      chat(url, { model: 'tallygate/endless', stream: true, messages: [{ role: 'user', content: 'on and on' }] }, '-N'),
      ...(openai ? ['', `OPENAI_API_KEY is set: OpenAI's models are available at ${url}/v1.`] : []),
      ...(anthropic ? ['', `ANTHROPIC_API_KEY is set: Anthropic's models are available at ${url}.`] : []),
      ...(openai || anthropic
        ? []
        : ['', 'To use real models, set OPENAI_API_KEY or ANTHROPIC_API_KEY and start again.']),
    ],
  };
}

function chat(url: string, body: object, flags: string): string {
  return `  curl ${flags} ${url}/v1/chat/completions -H 'content-type: application/json' -d '${JSON.stringify(body)}'`;
}
