import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { isFailure } from '../errors.ts';
import { MAX_DEPTH, MAX_FOUND, MAX_FOUND_AS_OBJECTS, MAX_TEXT_SPANS } from './bounds.ts';
import { newScanner } from './json-tokenizer.ts';
import type { ScannedBody } from './scanner.ts';
import type { Shape } from './shape.ts';
import { cuts, everyByte, pieces, pushAll, scanned, spansOf, summary } from './testing.ts';

const chat: Shape = {
  object: {
    model: { value: true },
    max_tokens: { value: true },
    stream: { value: true },
    stop: { value: true, items: { value: true } },
    messages: {
      items: {
        object: {
          role: { value: true },
          content: {
            text: true,
            value: true,
            items: { object: { type: { value: true }, text: { text: true } } },
          },
        },
      },
    },
    tools: { deepText: true, items: { object: { type: { value: true } } } },
  },
};
const chatPaths = [
  'model',
  'max_tokens',
  'stream',
  'stop',
  'stop[]',
  'messages',
  'messages[].role',
  'messages[].content',
  'messages[].content[].type',
  'tools[].type',
];

function texts(body: ScannedBody): string[] {
  const bytes = Buffer.concat(body.bytes);
  return spansOf(body).map(([start, end]) => bytes.subarray(start, end).toString());
}

function refusal(text: string | Uint8Array, shape: Shape = chat): { code: string; message: string } | undefined {
  const result = pushAll(newScanner(shape), [Buffer.from(text as string)]);
  return isFailure(result) ? { code: result.code, message: result.message } : undefined;
}

describe('a scan of a request', () => {
  const text = `{"messages":[{"role":"user","content":"h\\u00e9llo \\"x\\""},
    {"role":"user","content":[{"type":"text","text":"é😀"},{"type":"image_url"}], "other":{"text":"no"}}],
    "model" : "gpt-4o", "max_tokens":12,"stream":true,"stop":["a",null,-1.5e1],
    "tools":[{"type":"function","function":{"name":"x","n":1}}]}`;

  it('returns matches by path, with their positions', () => {
    const body = scanned(chat, text);
    assert.equal(body.one('model')?.value, 'gpt-4o');
    assert.equal(body.one('max_tokens')?.value, 12);
    assert.equal(body.one('stream')?.value, true);
    assert.deepEqual(
      body.all('stop[]').map(({ kind, value }) => [kind, value]),
      [
        ['string', 'a'],
        ['null', undefined],
        ['number', -15],
      ],
    );
    assert.deepEqual(
      body.all('messages[].role').map(({ element }) => element),
      [0, 1],
    );
    assert.equal(body.all('messages[].content')[0]?.value, 'héllo "x"');
    assert.equal(body.all('messages[].content')[1]?.kind, 'array');
    assert.deepEqual(
      body.all('messages[].content[].type').map(({ value }) => value),
      ['text', 'image_url'],
    );
    assert.equal(body.count('messages[]'), 2);
    assert.equal(body.count('messages[].content', 'string'), 1);
    assert.equal(body.one('nothing'), undefined);
    assert.deepEqual(body.all('nothing'), []);

    const bytes = Buffer.from(text);
    const model = body.one('model')!;
    assert.equal(bytes.subarray(model.keyStart, model.end).toString(), '"model" : "gpt-4o"');
    assert.equal(bytes.subarray(model.start, model.end).toString(), '"gpt-4o"');
    const stop = body.one('stop')!;
    assert.equal(bytes.subarray(stop.start, stop.end).toString(), '["a",null,-1.5e1]');
  });

  it('finds text where the shape names it, and deep text with its keys', () => {
    const body = scanned(chat, text);
    const expected = ['h\\u00e9llo \\"x\\"', 'é😀', 'type', 'function', 'function', 'name', 'x', 'n'];
    assert.deepEqual(texts(body), expected);
    assert.equal(body.textBytes, Buffer.byteLength(expected.join('')));
  });

  it('gives the same result for every cut', () => {
    const bytes = Buffer.from(text);
    const whole = scanned(chat, text);
    const expected = [summary(whole, chatPaths), spansOf(whole), whole.textBytes, whole.insertAt, whole.empty];
    const check = (parts: readonly Uint8Array[]): void => {
      const body = pushAll(newScanner(chat), parts);
      assert.ok(!isFailure(body));
      const found = [summary(body, chatPaths), spansOf(body), body.textBytes, body.insertAt, body.empty];
      assert.deepEqual(found, expected);
      assert.deepEqual(Buffer.concat(body.bytes), bytes);
    };
    check(everyByte(bytes));
    for (let cut = 0; cut <= bytes.length; cut++) {
      check(pieces(bytes, [cut]));
    }
    fc.assert(fc.property(cuts, (places) => check(pieces(bytes, places))));
  });

  it('keeps few pieces of a body that arrives in many, and large pieces uncopied', () => {
    const large = Buffer.alloc(5000, ' ');
    const parts = [
      large,
      ...everyByte(Buffer.from(`{"model":"${'m'.repeat(1000)}","x":"${'y'.repeat(100_000)}"`)),
      large,
      Buffer.from('}'),
    ];
    const body = pushAll(newScanner(chat), parts);
    assert.ok(!isFailure(body));
    assert.ok(body.bytes.length < 12, `${body.bytes.length} pieces`);
    assert.equal(body.bytes[0], large);
    assert.deepEqual(Buffer.concat(body.bytes), Buffer.concat(parts));
    assert.equal(body.one('model')?.value, 'm'.repeat(1000));
  });

  it('gives the same result past the values that are kept as objects', () => {
    // The same document after many values, and after as many bytes of white space.
    const values = `"stop":[${'0,'.repeat(MAX_FOUND_AS_OBJECTS)}0],`;
    const behind = (filler: string): Buffer =>
      Buffer.from(`{${filler}${text.slice(1).replace('"stop":["a",null,-1.5e1],', '')}`);
    const bytes = behind(values);
    const expected = scanned(chat, behind('"stop":[0],'.padEnd(values.length)));
    const paths = chatPaths.filter((path) => !path.startsWith('stop'));
    fc.assert(
      fc.property(cuts, (places) => {
        const body = pushAll(newScanner(chat), pieces(bytes, places));
        assert.ok(!isFailure(body));
        assert.deepEqual(summary(body, paths), summary(expected, paths));
        assert.deepEqual(spansOf(body), spansOf(expected));
        assert.equal(body.count('stop[]', 'number'), MAX_FOUND_AS_OBJECTS + 1);
      }),
    );
    assert.deepEqual(
      scanned(chat, `{${values}"messages":[{"role":-2.5e1},{"role":true},{"role":false},{"role":"é\\n"}]}`)
        .all('messages[].role')
        .map(({ value }) => value),
      [-25, true, false, 'é\n'],
    );
  });

  it('returns where members can be inserted', () => {
    assert.deepEqual([scanned(chat, ' {"a":1}').insertAt, scanned(chat, ' {"a":1}').empty], [2, false]);
    assert.deepEqual([scanned(chat, '{ } ').insertAt, scanned(chat, '{ } ').empty], [1, true]);
  });

  it('has no value for long strings, and reads numbers as JavaScript does', () => {
    const body = scanned(chat, `{"model":"${'x'.repeat(10_240)}","max_tokens":1e400}`);
    assert.deepEqual([body.one('model')?.kind, body.one('model')?.value], ['string', undefined]);
    assert.equal(body.one('max_tokens')?.value, Number.POSITIVE_INFINITY);
    for (const number of ['0', '-0', '12', '9007199254740993', '123456789012345678', '1.50', '-1e-3', '0.1E+2']) {
      assert.equal(scanned(chat, `{"max_tokens":${number}}`).one('max_tokens')?.value, Number(number), number);
    }
  });
});

describe('keys that parsers may read differently', () => {
  it('are refused when they appear twice', () => {
    assert.equal(refusal('{"model":"a","x":1,"model":"b"}')?.code, 'duplicate_key');
    assert.equal(refusal('{"model":"a","mod\\u0065l":"b"}')?.code, 'duplicate_key');
    assert.equal(refusal('{"messages":[{"role":"a","role":"b"}]}')?.code, 'duplicate_key');
    assert.match(refusal('{"model":"a","model":"b"}')!.message, /"model"/);
  });

  it('are refused when they differ by case only, as Go folds it', () => {
    const keys = ['MODEL', 'Model', '\\u004dodel', '\\u004Dodel'];
    for (const key of keys) {
      assert.equal(refusal(`{"${key}":1}`)?.code, 'duplicate_key', key);
    }
    assert.equal(refusal('{"me\u017fsages":1}')?.code, 'duplicate_key');
    assert.equal(refusal('{"max_to\u212aens":1}')?.code, 'duplicate_key');
    assert.equal(refusal('{"me\\u017Fsages":1}')?.code, 'duplicate_key');
  });

  it('are ignored outside of the shape', () => {
    assert.equal(refusal('{"x":1,"x":2,"X":3}'), undefined);
    assert.equal(refusal('{"messages":[{"role":"a"},{"role":"b"}],"metadata":{"model":1,"MODEL":2}}'), undefined);
    assert.equal(refusal('{"modelx":1,"mode":2,"m\u00f6del":3,"\\ud83d":4,"mod\\ud83del":5,"":6}'), undefined);
    // JavaScript lower-cases İ to i, Go does not.
    assert.equal(refusal('{"\u0130":1}', { object: { i: { value: true } } }), undefined);
  });

  it('are the same key when written with escapes', () => {
    assert.equal(scanned(chat, '{"mod\\u0065l":"a"}').one('model')?.value, 'a');
    assert.equal(scanned(chat, '{"\\u006d\\u006f\\u0064\\u0065\\u006c":"a"}').one('model')?.value, 'a');
  });

  it('are found in every cut', () => {
    for (const text of ['{"model":"a","mod\\u0065l":"b"}', '{"me\u017fsages":1}', '{"MODEL":1}']) {
      const bytes = Buffer.from(text);
      for (let cut = 0; cut < bytes.length; cut++) {
        const result = pushAll(newScanner(chat), pieces(bytes, [cut]));
        assert.ok(isFailure(result) && result.code === 'duplicate_key', `${text} cut at ${cut}`);
      }
    }
  });

  it('are found in objects with more members than a word has bits', () => {
    const names = Array.from({ length: 70 }, (_, index) => `key${index}`);
    const shape: Shape = { object: Object.fromEntries(names.map((name) => [name, { value: true }])) };
    const members = names.map((name) => `"${name}":1`);
    assert.equal(refusal(`{${members.join()}}`, shape), undefined);
    for (const name of names) {
      assert.equal(refusal(`{${members.join()},"${name}":1}`, shape)?.code, 'duplicate_key');
    }
  });
});

describe('refused documents', () => {
  it('get a message that names the problem', () => {
    assert.match(refusal('')!.message, /empty/);
    for (const text of ['[]', '"x"', '1', 'null', 'hello']) {
      assert.match(refusal(text)!.message, /JSON object/, text);
    }
    assert.match(refusal('{"a":')!.message, /ends before/);
    assert.match(refusal('{"a":1}}')!.message, /after its JSON object/);
    assert.match(refusal('\ufeff{}')!.message, /byte order mark/);
    assert.match(refusal(Buffer.from('{}', 'utf16le'))!.message, /UTF-16/);
    assert.match(refusal(Buffer.from('\ufeff{}', 'utf16le'))!.message, /UTF-16/);
    assert.match(refusal(Buffer.from([0, 0x7b]))!.message, /UTF-16/);
    assert.match(refusal(Buffer.from([0x7b, 0x22, 0xff, 0x22]))!.message, /UTF-8/);
    assert.match(refusal(Buffer.from([0x7b, 0x22, 0xe4, 0xbd]))!.message, /ends before/);
  });

  it('stay refused', () => {
    const scanner = newScanner(chat);
    const problem = scanner.push(Buffer.from('['));
    assert.ok(problem);
    assert.equal(scanner.push(Buffer.from('{}')), problem);
    assert.equal(scanner.finish(), problem);
  });

  it('are nested too deeply, or have too many values', () => {
    const nested = (depth: number): string => `{"x":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`;
    assert.equal(refusal(nested(MAX_DEPTH)), undefined);
    assert.match(refusal(nested(MAX_DEPTH + 1))!.message, /deeper/);
    assert.match(refusal(`{"x":${'['.repeat(1_000_000)}`)!.message, /deeper/);
    const list = (count: number): string => `{"stop":[${'0,                  '.repeat(count)}0]}`;
    assert.equal(refusal(list(MAX_FOUND - 2)), undefined);
    assert.match(refusal(list(MAX_FOUND))!.message, /too many values/);
    assert.match(refusal(`{"tools":[${'"a",'.repeat(MAX_TEXT_SPANS)}"b"]}`)!.message, /too many/);
  });
});

describe('validity', () => {
  /** What the platform's own parser makes of the same bytes. */
  function accepted(bytes: Uint8Array): boolean {
    try {
      const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
      const value: unknown = JSON.parse(text);
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    } catch {
      return false;
    }
  }
  const scans = (parts: readonly Uint8Array[]): boolean => !isFailure(pushAll(newScanner({}), parts));
  const documents = fc.oneof(fc.json({ maxDepth: 5 }), fc.object({ maxDepth: 4 }).map(wrapped));

  function wrapped(value: unknown): string {
    return JSON.stringify({ a: value, é: [value], 'b"\\': null }, null, 1);
  }

  it('agrees with JSON.parse, whole and cut', () => {
    fc.assert(
      fc.property(documents, cuts, (text, places) => {
        const bytes = Buffer.from(text);
        assert.equal(scans(pieces(bytes, places)), accepted(bytes));
      }),
      fuzzRuns(500),
    );
  });

  it('agrees with JSON.parse on documents with a fault', () => {
    const alphabet = [
      ...Buffer.from('{}[]",:\\/ \t\n0123456789.eE+-truefalsn\u0000\u0001u'),
      0x80,
      0xc3,
      0xa9,
      0xed,
      0xff,
    ];
    const fault = fc.record({
      at: fc.nat(),
      remove: fc.nat(2),
      put: fc.array(fc.constantFrom(...alphabet), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(documents, fault, cuts, (text, { at, remove, put }, places) => {
        const bytes = Buffer.from(text);
        const place = at % (bytes.length + 1);
        const faulty = Buffer.concat([bytes.subarray(0, place), Buffer.from(put), bytes.subarray(place + remove)]);
        assert.equal(scans(pieces(faulty, places)), accepted(faulty));
      }),
      fuzzRuns(2000),
    );
  });

  it('agrees with JSON.parse on numbers, literals and escapes', () => {
    const chars = fc.array(fc.constantFrom(...'01-+.eE9'), { maxLength: 7 }).map((parts) => parts.join(''));
    const escapes = fc
      .array(fc.constantFrom(...'\\u00dDaA8bnt"/x'), { maxLength: 9 })
      .map((parts) => `"${parts.join('')}"`);
    const words = fc.constantFrom('true', 'tru', 'truee', 'nul', 'null', 'fals', 'false', 'True', 'NaN', 'Infinity');
    fc.assert(
      fc.property(fc.oneof(chars, escapes, words), cuts, (value, places) => {
        const bytes = Buffer.from(`{"a":${value}}`);
        assert.equal(scans(pieces(bytes, places)), accepted(bytes), value);
      }),
      fuzzRuns(2000),
    );
  });
});
