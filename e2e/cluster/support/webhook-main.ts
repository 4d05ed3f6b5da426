/**
 * A webhook of guardrails as a program in a pod. Port 8080 answers: a text with "forbidden" is
 * blocked, "Ada" is a person. On port 8081, DELETE forgets the requests that it returns.
 */
import http, { type IncomingMessage } from 'node:http';

interface WebhookCall {
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

let calls: WebhookCall[] = [];

async function bodyOf(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) {
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

function answerTo(text: string): object {
  const start = text.indexOf('Ada');
  if (text.includes('forbidden')) {
    return { action: 'block', message: 'The webhook forbids this.' };
  }
  return start === -1
    ? { action: 'allow' }
    : { action: 'modify', findings: [{ type: 'PERSON', start, end: start + 'Ada'.length }] };
}

http
  .createServer(async (request, response) => {
    const body = await bodyOf(request);
    calls.push({ headers: request.headers, body });
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answerTo(JSON.parse(body).text)));
  })
  .listen(8080, '0.0.0.0');

http
  .createServer((_, response) => {
    response.end(JSON.stringify(calls));
    calls = [];
  })
  .listen(8081, '0.0.0.0');

process.on('SIGTERM', () => process.exit(0));
