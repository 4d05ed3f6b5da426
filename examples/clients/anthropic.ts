// make client NAME=anthropic
import Anthropic from '@anthropic-ai/sdk';

const client = new Anthropic();

const stream = client.messages.stream({
  model: 'claude-sonnet-4-5',
  max_tokens: 200,
  messages: [{ role: 'user', content: 'Hello, who are you?' }],
});
const message = await stream.finalMessage();
const { response } = await stream.withResponse();
console.log(message.stop_reason, message.usage.output_tokens, 'tokens');
console.log('left', response.headers.get('anthropic-ratelimit-output-tokens-remaining'));
