// make client NAME=openai
import OpenAI from 'openai';

const client = new OpenAI();
const messages = [{ role: 'user' as const, content: 'Hello, who are you?' }];

const { data, response } = await client.chat.completions
  .create({ model: 'tallygate/echo', max_completion_tokens: 50, messages })
  .withResponse();
console.log(data.choices[0]?.message.content);
console.log('limit', response.headers.get('x-ratelimit-limit-tokens'));

const stream = await client.chat.completions.create({ model: 'tallygate/endless', stream: true, messages });
let reason: string | null = null;
for await (const chunk of stream) {
  reason = chunk.choices[0]?.finish_reason ?? reason;
}
console.log('the stream ended:', reason);

try {
  await client.chat.completions.create({ model: 'tallygate/endless', messages }, { maxRetries: 0 });
} catch (error) {
  if (!(error instanceof OpenAI.RateLimitError)) {
    throw error;
  }
  console.log(error.status, error.code, 'retry after', error.headers?.get('retry-after'), 's');
}
