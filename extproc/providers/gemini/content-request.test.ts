import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isFailure } from '../../errors.ts';
import { newScanner } from '../../json/json-tokenizer.ts';
import { splice } from '../../json/splice.ts';
import type { ClientApi, RequestFacts } from '../adapter.ts';
import { disguisesMetered } from '../disguise.ts';
import type { RequestLabels } from '../labels.ts';
import { findEndpoint } from '../registry.ts';
import { scanned } from '../testing/recordings.ts';

const PATH = '/v1beta/models/gemini-2.0-flash:generateContent';
const contents = [{ parts: [{ text: 'Hi' }] }];

function endpointOf(target: string): ClientApi {
  return findEndpoint('POST', target, () => undefined)!.endpoint;
}

function read(body: object, target = PATH) {
  const [path = '', query] = target.split('?');
  const endpoint = endpointOf(target);
  return endpoint.readRequest(scanned(endpoint, JSON.stringify(body)), { path, query: new URLSearchParams(query) });
}

function facts(body: object, target?: string): RequestFacts {
  const result = read({ contents, ...body }, target);
  assert.ok(!isFailure(result), JSON.stringify(result));
  return result;
}

function problem(body: object, target?: string): string {
  const result = read({ contents, ...body }, target);
  assert.ok(isFailure(result));
  return result.message;
}

/** Returns the body that Vertex AI gets of one that arrives in two pieces. */
function labelled(text: string, labels: RequestLabels): unknown {
  const endpoint = endpointOf(PATH);
  const scanner = newScanner(endpoint.shape);
  const at = text.indexOf('labels') + 12;
  assert.ok([text.slice(0, at), text.slice(at)].every((part) => scanner.push(Buffer.from(part)) === undefined));
  const given = scanner.finish();
  assert.ok(!isFailure(given), JSON.stringify(given));
  const splices = endpoint.edit(given, { labels }, { schema: 'GCPVertexAI' });
  return JSON.parse(Buffer.concat([...splice(given.bytes, splices)]).toString());
}

function edited(body: object, outputTokens: number): unknown {
  const endpoint = endpointOf(PATH);
  const given = scanned(endpoint, JSON.stringify(body));
  const splices = endpoint.edit(given, { outputTokens, model: 'other' }, { schema: 'GoogleGemini' });
  return JSON.parse(Buffer.concat([...splice(given.bytes, splices)]).toString());
}

describe('a request of generateContent', () => {
  it('names its model in the path, at all places where Google serves it', () => {
    for (const [start, model] of [
      ['/v1beta/models/gemini-2.5-pro', 'gemini-2.5-pro'],
      ['/v1/models/team%2Fchat', 'team/chat'],
      ['/v1beta/models/team/models/chat', 'team/models/chat'],
      ['/v1beta1/publishers/google/models/m', 'm'],
      ['/v1/projects/models/locations/eu/publishers/google/models/m', 'm'],
    ] as const) {
      assert.equal(facts({}, `${start}:generateContent`).model, model);
      const streamed = facts({}, `${start}:streamGenerateContent?alt=sse`);
      assert.deepEqual([streamed.model, streamed.stream], [model, true]);
      assert.equal(facts({}, `${start}:countTokens`).model, model);
    }
  });

  it('is sent to the path of its backend, with the name that the backend uses', () => {
    const pathAt = (schema: 'GoogleGemini' | 'GCPVertexAI', target: string) =>
      endpointOf(target).providerPath!(facts({}, target), 'a/b', { schema });
    assert.equal(pathAt('GoogleGemini', `${PATH}?key=secret`), '/v1beta/models/a%2Fb:generateContent');
    assert.equal(
      pathAt('GCPVertexAI', PATH.replace(':g', ':streamG').concat('?alt=sse&key=secret')),
      '/v1/publishers/google/models/a%2Fb:streamGenerateContent?alt=sse',
    );
  });

  it('is bounded by either name of its bound', () => {
    for (const generationConfig of [
      { maxOutputTokens: 9, candidateCount: 2 },
      { max_output_tokens: 9, candidate_count: 2 },
    ]) {
      for (const body of [{ generationConfig }, { generation_config: generationConfig }]) {
        const { askedOutputTokens, choices } = facts(body);
        assert.deepEqual([askedOutputTokens, choices], [9, 2]);
        const bounded = JSON.parse(JSON.stringify(body).replace(':9', ':5')) as unknown;
        assert.deepEqual(edited(body, 5), bounded);
      }
    }
    assert.deepEqual(edited({ contents }, 5), { generationConfig: { maxOutputTokens: 5 }, contents });
  });

  it('is refused where two names, or the body, could mean another request to the provider', () => {
    assert.match(problem({ generationConfig: {}, generation_config: {} }), /two names/);
    assert.match(problem({ generationConfig: { maxOutputTokens: 1, max_output_tokens: 2 } }), /two names/);
    assert.match(problem({ model: 'models/gemini-2.5-pro' }), /remove it from the body/);
  });

  it('is refused if it asks for a stream of another form than events', () => {
    assert.match(problem({}, PATH.replace(':g', ':streamG')), /alt=sse/);
  });

  it('has output that hides, by the model or the kinds of output', () => {
    assert.equal(facts({}).hiddenOutput, false);
    assert.equal(facts({}, PATH.replace('2.0', '2.5')).hiddenOutput, true);
    assert.equal(facts({ generationConfig: { responseModalities: ['TEXT', 'IMAGE'] } }).hiddenOutput, true);
    assert.equal(facts({ generationConfig: { responseModalities: ['TEXT'] } }).hiddenOutput, false);
  });

  it('hides no output without thoughts, where the model can do without', () => {
    const hides = (config: object, model: string) => {
      const target = PATH.replace('gemini-2.0-flash', model);
      const read = facts({ generation_config: config }, target);
      assert.equal(endpointOf(target).hidesOutput!(model, read), read.hiddenOutput);
      return read.hiddenOutput;
    };
    for (const [model, hidden] of [
      ['gemini-2.5-flash', false],
      ['gemini-2.5-flash-lite', false],
      ['gemini-2.5-flash-image', true],
      ['gemini-2.5-pro', true],
      ['gemini-3-flash', true],
      ['gemini-flash-latest', true],
    ] as const) {
      assert.equal(hides({ thinkingConfig: { thinkingBudget: 0 } }, model), hidden, model);
      assert.equal(hides({ thinking_config: { thinking_budget: 1 } }, model), true, model);
    }
    const twice = { thinkingConfig: { thinkingBudget: 0, thinking_budget: 9 } };
    assert.match(problem({ generationConfig: twice }), /two names/);
  });

  it('names its service tier as prices do', () => {
    assert.equal(facts({ serviceTier: 'flex' }).serviceTier, 'flex');
    assert.equal(facts({ service_tier: 'SERVICE_TIER_PRIORITY' }).serviceTier, 'priority');
    assert.equal(facts({ serviceTier: 'unspecified' }).serviceTier, undefined);
  });

  it('has an unbounded cost with tools of the provider, stored content and files', () => {
    const declared = { functionDeclarations: [{ name: 'f' }] };
    const file = (fileUri: string) => ({ contents: [{ parts: [{ file_data: { fileUri } }] }] });
    for (const [body, unbounded] of [
      [{ tools: [declared] }, []],
      [{ tools: declared }, []],
      [{ tools: [declared, { google_search: {} }] }, ['server_tool']],
      [{ tools: { googleSearch: {} } }, ['server_tool']],
      [{ tools: [{ ...declared, codeExecution: {} }] }, ['server_tool']],
      [{ tools: [{ newTool: {} }] }, ['server_tool']],
      [{ cachedContent: 'cachedContents/1' }, ['stored_conversation']],
      [file('https://example.com/a.png'), ['remote_url']],
      [file('gs://bucket/a.png'), ['file_reference']],
    ] as const) {
      assert.deepEqual(facts(body).unbounded, unbounded, JSON.stringify(body));
    }
  });

  it('counts media, wherever the API allows them', () => {
    const image = { inlineData: { mimeType: 'image/png', data: 'AAAA' } };
    const result = { functionResponse: { name: 'f', response: {}, parts: [image] } };
    for (const parts of [[image], image, [result], [{ function_response: result.functionResponse }]]) {
      assert.equal(facts({ contents: [{ parts }] }).mediaTokens, 1_120);
      assert.equal(facts({ contents: { parts } }).mediaTokens, 1_120);
    }
  });

  it('counts all text', () => {
    const { textBytes } = facts({
      system_instruction: { parts: { text: 'ab' } },
      contents: [{ parts: [{ functionCall: { name: 'cd', args: { ef: 'gh' } } }] }, { parts: { text: 'ij' } }],
      tools: [{ functionDeclarations: [{ name: 'kl' }] }],
    });
    assert.equal(textBytes, 10 + 'functionDeclarations'.length + 'name'.length + 2);
  });

  it('cannot pass unread in another spelling', () => {
    assert.equal(disguisesMetered('POST', '/v1beta//models/m%3AgenerateContent'), true);
    assert.equal(
      disguisesMetered('POST', '/V1/projects/p/locations/l/publishers/google/models/m:GenerateContent'),
      true,
    );
    assert.equal(disguisesMetered('POST', '/v1beta/models/m:countTokens'), false);
  });
});

describe('labels of a request of generateContent', () => {
  const labels = { tenant: 'search', user: undefined };

  it('are added', () => {
    assert.deepEqual(labelled('{"contents":[]}', labels), { contents: [], labels: { tenant: 'search' } });
    assert.deepEqual(labelled('{}', labels), { labels: { tenant: 'search' } });
    assert.deepEqual(labelled('{"contents":[]}', { user: undefined }), { contents: [] });
  });

  it("take the place of the client's of the same names", () => {
    for (const [given, expected] of [
      ['{"tenant":"ads","user":"jane","x":"y"}', { tenant: 'search', x: 'y' }],
      ['{"x":"y","t\\u0065nant":"ads","tenant":"ads","user":""}', { tenant: 'search', x: 'y' }],
      [`{"${'x'.repeat(70_000)}":"y"}`, { tenant: 'search' }],
      ['{}', { tenant: 'search' }],
      ['[{"tenant":"ads"}]', { tenant: 'search' }],
      ['"tenant"', { tenant: 'search' }],
      ['null', { tenant: 'search' }],
    ] as const) {
      const body = labelled(`{"labels": ${given} ,"contents":[]}`, labels);
      assert.deepEqual(body, { labels: expected, contents: [] });
    }
    assert.deepEqual(labelled('{"labels":{"user":"jane"}}', { user: undefined }), { labels: {} });
  });

  it('cannot be sent twice, or under another spelling', () => {
    for (const text of [
      '{"labels":{"tenant":"ads"},"labels":{}}',
      '{"labels":{},"l\\u0061bels":{"tenant":"ads"}}',
      '{"Labels":{"tenant":"ads"}}',
    ]) {
      const scanner = newScanner(endpointOf(PATH).shape);
      assert.ok(isFailure(scanner.push(Buffer.from(text)) ?? scanner.finish()), text);
    }
  });
});
