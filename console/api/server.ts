/** Serves a console over HTTP: the page and its API, below `/console/`. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ConsoleAnswer, ConsoleRequest } from './api.ts';
import { CallerLimits, callerOf } from './caller-limits.ts';
import { type PageFiles, pageFiles } from './page-files.ts';
import { isLocalRequest } from './same-origin.ts';

const API = '/console/api/';

/** Of a request of the page; a hostile one is no longer. */
const MAX_BODY_BYTES = 1024;

const headers = {
  'cache-control': 'no-store',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

export interface ConsoleHandlerOptions {
  /** Answers requests below `/console/api/`. */
  readonly answer: (request: ConsoleRequest) => Promise<ConsoleAnswer>;
  readonly onError: (error: unknown) => void;
}

/** Returns a function that answers requests of a console, and returns false for all others. */
export function consoleHandler(
  options: ConsoleHandlerOptions,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const limits = new CallerLimits();
  let files: Promise<PageFiles> | undefined;
  const loaded = () => {
    files ??= pageFiles();
    return files;
  };
  return (request, response) => {
    const [path = '', query = ''] = (request.url ?? '').split('?', 2);
    if (path === '/console') {
      response.writeHead(308, { ...headers, location: '/console/' }).end();
      return true;
    }
    if (!path.startsWith('/console/')) {
      return false;
    }
    const answered = path.startsWith(API)
      ? answerApi({ ...options, limits }, request, response, path.slice(API.length), new URLSearchParams(query))
      : answerFile(loaded(), request, response, path.slice('/console/'.length));
    answered.catch((error: unknown) => {
      options.onError(error);
      response.destroy();
    });
    return true;
  };
}

async function answerApi(
  { answer, limits }: Pick<ConsoleHandlerOptions, 'answer'> & { readonly limits: CallerLimits },
  incoming: IncomingMessage,
  response: ServerResponse,
  path: string,
  query: URLSearchParams,
): Promise<void> {
  const { method = '', socket } = incoming;
  const { authorization, 'x-api-key': key } = incoming.headers;
  const request: ConsoleRequest = {
    method: method === 'HEAD' ? 'GET' : method,
    path,
    query,
    headers: incoming.headers,
    isLocal: isLocalRequest(incoming.headers, socket.remoteAddress),
    credential: {
      ...(authorization !== undefined && { authorization }),
      ...(typeof key === 'string' && { 'x-api-key': key }),
    },
  };
  const tooLong = Number(incoming.headers['content-length'] ?? 0) > MAX_BODY_BYTES;
  const { status, body, retryAfterSeconds } = tooLong
    ? { ...refusal(413, 'Requests of the console have no body.'), retryAfterSeconds: undefined }
    : await limitedAnswer(answer, limits, incoming, request);
  incoming.resume();
  response.writeHead(status, {
    ...headers,
    'content-type': 'application/json',
    ...(status === 401 && { 'www-authenticate': 'Bearer' }),
    ...(retryAfterSeconds !== undefined && { 'retry-after': String(retryAfterSeconds) }),
    ...(tooLong && { connection: 'close' }),
  });
  response.end(`${JSON.stringify(body)}\n`);
}

async function limitedAnswer(
  answer: ConsoleHandlerOptions['answer'],
  limits: CallerLimits,
  incoming: IncomingMessage,
  request: ConsoleRequest,
): Promise<ConsoleAnswer & { readonly retryAfterSeconds?: number }> {
  const admission = limits.admit(callerOf(incoming, request.credential));
  if (admission.type === 'limited') {
    const { retryAfterSeconds } = admission;
    const message = `The console gets too many requests without a valid credential, or of one caller. Wait ${retryAfterSeconds} s.`;
    return { ...refusal(429, message), retryAfterSeconds };
  }
  let status = 503;
  try {
    const answered = await answer(request);
    status = answered.status;
    return answered;
  } finally {
    admission.done(status);
  }
}

function refusal(status: number, message: string): ConsoleAnswer {
  return { status, body: { error: { message } } };
}

async function answerFile(
  files: Promise<PageFiles>,
  { method, headers: asked }: IncomingMessage,
  response: ServerResponse,
  name: string,
): Promise<void> {
  const { contentSecurityPolicy, find } = await files;
  const file = find(name);
  if (file === undefined || (method !== 'GET' && method !== 'HEAD')) {
    const status = file === undefined ? 404 : 405;
    response.writeHead(status, { ...headers, 'content-type': 'text/plain' }).end('Nothing is here.\n');
    return;
  }
  const zips = /\bgzip\b/.test(String(asked['accept-encoding'] ?? ''));
  response.writeHead(200, {
    ...headers,
    'content-security-policy': contentSecurityPolicy,
    'content-type': file.type,
    vary: 'accept-encoding',
    ...(zips && { 'content-encoding': 'gzip' }),
  });
  response.end(zips ? file.zipped : file.bytes);
}
