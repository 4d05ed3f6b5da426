/**
 * Converts the exchanges in `testdata/NAME.in.yaml` and compares with `NAME.out.yaml`.
 * UPDATE_GOLDEN=1 rewrites them.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { awsEventStream } from '../../fixtures/aws-event-stream.ts';
import { type ConversionCase, convertedCase, convertedDocument, convertedStream } from './testing.ts';

interface GoldenCase extends Omit<ConversionCase, 'body'> {
  readonly request: object;
  /** Answers of the provider: documents, streams as they are on the wire, errors. */
  readonly documents?: readonly object[];
  readonly streams?: readonly string[];
  /** Streams of messages `{TYPE: PAYLOAD}`, which an AWS event stream holds. */
  readonly messages?: readonly (readonly object[])[];
  readonly errors?: readonly { readonly status: number; readonly type?: string; readonly body: unknown }[];
}

const folder = new URL('./testdata/', import.meta.url);

for (const file of readdirSync(folder).filter((name) => name.endsWith('.in.yaml'))) {
  test(`${file.replace('.in.yaml', '')}: the conversion matches the golden file`, () => {
    const given = parse(readFileSync(new URL(file, folder), 'utf8')) as GoldenCase;
    const out = stringify(converted(given), { lineWidth: 0, aliasDuplicateObjects: false });
    const expected = new URL(file.replace('.in.yaml', '.out.yaml'), folder);
    if (process.env['UPDATE_GOLDEN'] === '1') {
      writeFileSync(expected, out);
    }
    assert.equal(out, readFileSync(expected, 'utf8'));
  });
}

function converted(given: GoldenCase): object {
  const { documents, streams = given.messages?.map(awsEventStream), errors, request } = given;
  const made = convertedCase({ ...given, body: JSON.stringify(request) });
  if (typeof made === 'string') {
    return { refused: made };
  }
  const { path, headers, body, dropped, hiddenOutput, newAdapter } = made;
  return {
    dropped,
    hiddenOutput,
    request: { path, headers: Object.fromEntries(headers), body: JSON.parse(body) as object },
    ...(documents && {
      documents: documents.map((each) => shown(convertedDocument(newAdapter(), Buffer.from(JSON.stringify(each))))),
    }),
    ...(streams && { streams: streams.map((each) => convertedStream(newAdapter(), [Buffer.from(each)])) }),
    ...(errors && {
      errors: errors.map((each) => {
        const text = typeof each.body === 'string' ? each.body : JSON.stringify(each.body);
        const error = newAdapter().conversion!.error(each.status, Buffer.from(text), each.type);
        return {
          status: error.status,
          ...(error.retryAfterMs !== undefined && { retryAfterMs: error.retryAfterMs }),
          body: shown(Buffer.from(error.body).toString()),
        };
      }),
    }),
  };
}

/** A document, or the message of a failure. */
function shown(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
