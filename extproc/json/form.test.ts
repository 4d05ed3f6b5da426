import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { type Failure, isFailure } from '../errors.ts';
import { newFormScanner } from './form.ts';
import type { FormFields } from './form-body.ts';
import type { ScannedBody } from './scanner.ts';

const fields: FormFields = { model: 'value', prompt: 'text', n: 'number', stream: 'flag', file: 'file' };
const type = 'multipart/form-data; boundary=XX';

function scan(pieces: readonly Uint8Array[], contentType = type): ScannedBody | Failure {
  const scanner = newFormScanner(fields, contentType);
  if (isFailure(scanner)) {
    return scanner;
  }
  for (const piece of pieces) {
    scanner.push(piece);
  }
  return scanner.finish();
}

function scanned(text: string): ScannedBody {
  const body = scan([Buffer.from(text)]);
  assert.ok(!isFailure(body), isFailure(body) ? body.message : '');
  return body;
}

function refused(text: string, contentType = type): string {
  const body = scan([Buffer.from(text)], contentType);
  assert.ok(isFailure(body), 'was not refused');
  assert.equal(body.status, 400);
  return body.message;
}

const part = (name: string, content: string, more = '') =>
  `--XX\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n${content}\r\n`;
const form = (...parts: readonly string[]) => `${parts.join('')}--XX--\r\n`;

describe('a form', () => {
  it('as an official client writes it has its fields, and its bytes stay', async () => {
    const data = new FormData();
    data.set('model', 'whisper-1');
    data.set('prompt', 'Grüße "quoted"\r\n--not the boundary');
    data.set('n', '3');
    data.set('stream', 'true');
    data.set('file', new File([new Uint8Array(100_000).fill(13)], 'ä "file".mp3', { type: 'audio/mpeg' }));
    data.set('language', 'de');
    const request = new Request('http://x', { method: 'POST', body: data });
    const contentType = request.headers.get('content-type')!;
    const bytes = Buffer.from(await request.arrayBuffer());
    for (const size of [1, 7, 1_000, bytes.length]) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
        bytes.subarray(index * size, (index + 1) * size),
      );
      const body = scan(pieces, contentType);
      assert.ok(!isFailure(body), isFailure(body) ? body.message : '');
      const values = ['model', 'n', 'stream', 'language'].map((name) => body.one(name)?.value);
      assert.deepEqual(values, ['whisper-1', 3, true, undefined]);
      const file = body.one('file')!;
      assert.deepEqual([file.end - file.start, body.count('file')], [100_000, 1]);
      assert.ok(Buffer.concat(body.bytes).equals(bytes));
      const spans = body.textSpans();
      assert.ok(spans.next());
      const text = bytes.subarray(spans.start, spans.end).toString();
      assert.equal(text, data.get('prompt'));
      assert.deepEqual([spans.next(), body.textBytes], [false, Buffer.byteLength(text)]);
    }
  });

  it('may have empty fields and files of the same name', () => {
    const body = scanned(
      form(part('prompt', ''), part('file', 'a', '; filename="1"'), part('file', '', '; filename=2')),
    );
    assert.deepEqual([body.count('file'), body.textBytes, body.textSpans().next()], [2, 0, false]);
  });

  for (const [what, text] of [
    ['a repeated field', form(part('model', 'a'), part('model', 'b'))],
    ['a field in another case', form(part('Model', 'a'))],
    ['a field as a list', form(part('model[]', 'a'))],
    ['a field as a file', form(part('model', 'a', '; filename="m"'))],
    ['a change of the charset', form(part('_charset_', 'utf-16'), part('model', 'a'))],
    [
      'another charset',
      form(part('model', 'a').replace('\r\n\r\n', '\r\nContent-Type: text/plain; charset=utf-16\r\n\r\n')),
    ],
    [
      'a transfer encoding',
      form(part('model', 'a').replace('\r\n\r\n', '\r\nContent-Transfer-Encoding: base64\r\n\r\n')),
    ],
    [
      'two dispositions',
      form(part('x', 'a').replace('\r\n\r\n', '\r\nContent-Disposition: form-data; name="model"\r\n\r\n')),
    ],
    ['two names', form(part('x', 'a', '; name="model"'))],
    ['an extended name', form(part('x', 'a', "; name*=utf-8''model"))],
    ['an escaped name', form(part('mod\\el', 'a'))],
    ['a folded header', form(part('x', 'a').replace('; name', ';\r\n name'))],
    ['a header without a disposition', form('--XX\r\nA: b\r\n\r\nc\r\n')],
    ['a boundary after a bare line feed', form(part('file', `a\n${part('model', 'b')}`, '; filename="f"'))],
    ['a boundary within a line', form(part('file', 'a--XX', '; filename="f"'))],
    ['a longer boundary', form(part('file', 'a\r\n--XXY\r\n', '; filename="f"'))],
    ['text before the first boundary', `preamble\r\n${form(part('model', 'a'))}`],
    ['text after the last boundary', `${form(part('model', 'a'))}${part('model', 'b')}`],
    ['no end', part('model', 'a')],
    ['nothing', ''],
    ['too many parts', form(...Array.from({ length: 129 }, (_, index) => part(`x${index}`, '')))],
    ['too long headers', form(part('x'.repeat(5_000), ''))],
  ] as const) {
    it(`is refused with ${what}`, () => {
      assert.match(refused(text), /form/);
    });
  }

  for (const contentType of [
    'application/json',
    'multipart/form-data',
    'multipart/form-data; boundary=',
    'multipart/form-data; boundary=XX; boundary=YY',
    'multipart/mixed; boundary=XX',
    `multipart/form-data; boundary=${'x'.repeat(71)}`,
  ]) {
    it(`is refused with the content type ${contentType.slice(0, 60)}`, () => {
      assert.match(refused(form(part('model', 'a')), contentType), /boundary/);
    });
  }

  it('reads the same however its bytes arrive, whatever they are', () => {
    const piece = fc.constantFrom('--XX', '\r\n', '\r', '\n', '--', 'a', part('model', 'm'), part('n', '2'), ': ', '"');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), fc.array(fc.nat(400), { maxLength: 8 }), (pieces, places) => {
        const bytes = Buffer.from(`--XX${pieces.join('')}`);
        const cuts = [0, ...places.map((place) => Math.min(place, bytes.length)).sort((a, b) => a - b), bytes.length];
        const cut = cuts.slice(1).map((end, index) => bytes.subarray(cuts[index], end));
        assert.deepEqual(outcome(scan(cut)), outcome(scan([bytes])));
      }),
      fuzzRuns(500),
    );
  });
});

function outcome(body: ScannedBody | Failure): unknown {
  return isFailure(body) ? body.code : ['model', 'n'].map((name) => body.one(name));
}
