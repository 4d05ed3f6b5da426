import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { endpoints } from '../providers/registry.ts';
import { eventsOf, newAdapter, passEvents, recordedStreams } from '../providers/testing/recordings.ts';
import { JsonCursor } from './cursor.ts';

/** Reads a value with the cursor into what JSON.parse would return. */
function value(cursor: JsonCursor): unknown {
  if (cursor.isObject()) {
    const object: [string, unknown][] = [];
    assert.ok(cursor.enterObject());
    while (cursor.nextMember()) {
      object.push([cursor.key, value(cursor)]);
    }
    return Object.fromEntries(object);
  }
  if (cursor.isArray()) {
    const array: unknown[] = [];
    assert.ok(cursor.enterArray());
    while (cursor.nextElement()) {
      array.push(value(cursor));
    }
    return array;
  }
  const { at } = cursor;
  const first = cursor.bytes[at];
  if (first === 0x22) {
    return cursor.string() ? cursor.decoded() : undefined;
  }
  if (first === 0x2d || (first !== undefined && first >= 0x30 && first <= 0x39)) {
    return cursor.number();
  }
  cursor.skip();
  return JSON.parse(Buffer.from(cursor.bytes.subarray(at, cursor.valueEnd)).toString());
}

describe('JsonCursor', () => {
  it('reads keys that came before in another spelling', () => {
    const documents = [
      // Both keys have one slot, and the first means what the bytes of the second spell.
      String.raw`{"\u006a\\n":1,"j\n":2}`,
      String.raw`{"\u0061":3,"a":4}`,
      '{"é":1,"Ã©":2,"":3,"Ã":5}',
      '{"choices":1,"choicer":2,"cohices":3,"chojces":4}',
    ];
    for (const text of [...documents, ...documents]) {
      const cursor = new JsonCursor();
      const bytes = Buffer.from(text);
      cursor.begin(bytes, 0, bytes.length);
      assert.deepEqual(value(cursor), JSON.parse(text), text);
    }
  });

  it('reads what JSON.parse reads', () => {
    const cursor = new JsonCursor();
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(0, 1), fc.nat(5), (document, indent, before) => {
        const text = Buffer.from(`${'x'.repeat(before)}${JSON.stringify(document, null, indent)}]}"`);
        cursor.begin(text, before, text.length - 3);
        assert.deepEqual(value(cursor), JSON.parse(JSON.stringify(document)));
        assert.equal(cursor.broken, false);
      }),
    );
  });

  it('skips exactly one value', () => {
    const cursor = new JsonCursor();
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (one, other) => {
        const text = Buffer.from(JSON.stringify([one, other]));
        cursor.begin(text, 0, text.length);
        assert.ok(cursor.enterArray());
        assert.ok(cursor.nextElement());
        cursor.skip();
        assert.ok(cursor.nextElement());
        assert.deepEqual(value(cursor), JSON.parse(JSON.stringify(other)));
        assert.equal(cursor.nextElement(), false);
      }),
    );
  });

  it('terminates on any bytes', () => {
    const cursor = new JsonCursor();
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[{}[\]",:\\0a ]{0,30}$/)), (text) => {
        const bytes = Buffer.from(text);
        cursor.begin(bytes, 0, bytes.length);
        if (cursor.enterObject()) {
          while (cursor.nextMember()) {
            cursor.skip();
          }
        }
        assert.ok(cursor.at <= bytes.length + 1);
      }),
      fuzzRuns(2_000),
    );
  });
});

describe('stream readers', () => {
  it('accept any bytes, and recorded events with any byte changed', () => {
    const events = recordedStreams().flatMap(({ stream }) =>
      eventsOf(stream)
        .slice(0, 6)
        .map(([start, end]) => stream.subarray(start, Math.min(end, start + 2_000))),
    );
    const metered = endpoints.filter(({ kind }) => kind === 'metered');
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.uint8Array({ maxLength: 60 }),
            fc.tuple(fc.constantFrom(...events), fc.nat(2_000), fc.nat(255)).map(([event, at, byte]) => {
              const changed = Buffer.from(event);
              changed[at % changed.length] = byte;
              return changed;
            }),
          ),
          { maxLength: 12 },
        ),
        fc.constantFrom(...metered),
        fc.boolean(),
        (pieces, endpoint, hideUsage) => {
          const adapter = newAdapter(endpoint, { hideUsage });
          passEvents(adapter, ...pieces);
          const zero = {
            input: 0,
            output: 0,
            cachedInput: 0,
            cacheWriteInput: 0,
            cacheWrite1hInput: 0,
            reasoningOutput: 0,
            audioInput: 0,
            audioOutput: 0,
            imageInput: 0,
            imageOutput: 0,
          };
          for (const line of Buffer.from(adapter.writer.truncate(zero)).toString().split('\n')) {
            if (line.startsWith('data:') && !line.includes('[DONE]')) {
              JSON.parse(line.slice(5));
            }
          }
        },
      ),
      fuzzRuns(1_500),
    );
  });
});
