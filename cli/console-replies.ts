/** Answers the controller, which serves the console of a cluster, for one gateway process. */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { ConsoleApi } from '../console/api/api.ts';
import { callSource, type GatewayCall } from '../console/api/socket-source.ts';
import { parseOperators } from '../console/api/viewer.ts';
import type { ConsoleReplyContent } from '../extproc/sidecar/stream.ts';
import type { ConsoleQuestion } from '../protos/gen/tallygate/policy/v1/policy_pb.ts';
import type { Log } from '../runtime/log.ts';
import type { ConsoleCalls } from './console-calls.ts';

/** Less than the largest message that the controller takes from a sidecar. */
const MAX_BODY_BYTES = 192 * 1024;

const compressed = promisify(gzip);

/**
 * Returns the answer to each question. The controller has checked the origin of the request; who
 * asks is decided here, by the access policies that the question names.
 */
export function consoleReplies(
  calls: Pick<ConsoleCalls, 'answer'>,
  log: Log,
): (question: ConsoleQuestion) => Promise<ConsoleReplyContent> {
  const source = callSource(async <Answer>(...[method, path, query, headers = {}]: Parameters<GatewayCall>) => {
    return (await calls.answer(`${method} /console/${path}`, query, headers)) as Answer;
  });
  return async ({ method, path, query, authorization, apiKey, accessPolicies, operators }) => {
    const api = new ConsoleApi({
      source: { ...source, identify: (credential) => source.identify(credential, accessPolicies) },
      operators: parseOperators(operators) ?? [],
      readsStore: true,
      onError: (error) => log.error({ err: error }, 'console call failed'),
    });
    const { status, body } = await api.answer({
      method,
      path,
      query: new URLSearchParams(query),
      headers: { 'content-type': 'application/json' },
      isLocal: false,
      credential: {
        ...(authorization !== undefined && { authorization }),
        ...(apiKey !== undefined && { 'x-api-key': apiKey }),
      },
    });
    const bytes = await compressed(JSON.stringify(body));
    return bytes.length <= MAX_BODY_BYTES ? { status, body: bytes } : { status: 413, body: await compressed(tooLong) };
  };
}

const tooLong = JSON.stringify({ error: { message: 'The answer of a gateway is too long; choose a shorter time.' } });
