import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fixtures } from '../../fixtures/fixtures.ts';
import { noRecordings, recordings } from '../../fixtures/recordings.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { cuts, everyByte, pieces } from '../json/testing.ts';
import { newEventSplitter } from './events.ts';

/** Returns all events, then the rest. */
function split(parts: readonly Uint8Array[], maxEventBytes?: number): string[] {
  const splitter = newEventSplitter(maxEventBytes);
  const events: Uint8Array[] = [];
  const take = (): void => {
    while (splitter.next()) {
      events.push(splitter.bytes.subarray(splitter.start, splitter.end));
    }
  };
  for (const part of parts) {
    splitter.push(part);
    take();
  }
  splitter.close();
  take();
  // Converted to strings only now: the bytes must not have changed.
  return [...events, splitter.rest()].map((bytes) => Buffer.from(bytes).toString());
}

const streams = [...fixtures, ...recordings()]
  .filter(({ stream }) => stream)
  .map(({ name, answer }) => ({ name, events: answer.match(/[\s\S]*?(?:\n\n|\r\n\r\n)/g) ?? [] }));

describe('streams of providers', () => {
  it('include recordings of real providers', { skip: noRecordings }, () => {
    assert.ok(streams.length > fixtures.filter(({ stream }) => stream).length + 10);
  });

  it('give the same events for every cut', () => {
    assert.ok(streams.length > 20);
    for (const { name, events } of streams) {
      const expected = [...events, ''];
      const bytes = Buffer.from(events.join(''));
      assert.deepEqual(split([bytes]), expected, name);
      assert.deepEqual(split(everyByte(bytes)), expected, name);
      const step = Math.ceil(bytes.length / 150);
      for (let cut = 1; cut < bytes.length; cut += step) {
        const splitter = newEventSplitter();
        let count = 0;
        for (const piece of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
          splitter.push(piece);
          while (splitter.next()) {
            const given = Buffer.from(
              splitter.bytes.buffer,
              splitter.bytes.byteOffset + splitter.start,
              splitter.end - splitter.start,
            );
            if (given.length !== Buffer.byteLength(events[count++]!)) {
              assert.fail(`${name} cut at ${cut}: event ${count - 1}`);
            }
          }
        }
        assert.equal(count, events.length, name);
      }
    }
  });

  it('may have other line ends', () => {
    const { events } = streams.find(({ name }) => name === 'messages-text.stream')!;
    for (const lineEnd of ['\r\n', '\r']) {
      const other = events.map((one) => one.replaceAll('\n', lineEnd));
      const bytes = Buffer.from(other.join(''));
      assert.deepEqual(split([bytes]), [...other, '']);
      assert.deepEqual(split(everyByte(bytes)), [...other, '']);
    }
  });
});

describe('events', () => {
  it('end at the first empty line after a line, as the standard says', () => {
    const lines = fc.constantFrom('\n', '\r\n', '\r', 'data: a', ':', 'x');
    fc.assert(
      fc.property(fc.array(lines, { maxLength: 20 }), cuts, (parts, places) => {
        const text = parts.join('');
        const bytes = Buffer.from(text);
        // Each event: redundant empty lines, then lines, then one empty line.
        const events = text.match(/(?:\r?\n|\r(?!\n))*(?:[^\r\n]+(?:\r?\n|\r(?!\n)))+?(?:\r?\n|\r(?!\n))/g) ?? [];
        const expected = [...events, text.slice(events.join('').length)];
        assert.deepEqual(split([bytes]), expected);
        assert.deepEqual(split(pieces(bytes, places)), expected);
        assert.deepEqual(split(everyByte(bytes)), expected);
      }),
      fuzzRuns(1000),
    );
  });

  it('are returned at once, except after a bare CR', () => {
    const splitter = newEventSplitter();
    for (const lineEnd of ['\n', '\r\n']) {
      splitter.push(Buffer.from(`data: a${lineEnd}${lineEnd}`));
      assert.equal(splitter.next(), true);
      assert.equal(splitter.next(), false);
    }
    splitter.push(Buffer.from('data: a\r\r'));
    assert.equal(splitter.next(), false);
    splitter.push(Buffer.from('d'));
    assert.equal(splitter.next(), true);
  });

  it('are views of their piece, and only events that span pieces are copied', () => {
    const splitter = newEventSplitter();
    const piece = Buffer.from('data: a\n\ndata: b');
    splitter.push(piece);
    assert.ok(splitter.next());
    assert.equal(splitter.bytes, piece);
    assert.equal(splitter.next(), false);
    const second = Buffer.from('\n\ndata: c\n\n');
    splitter.push(second);
    assert.ok(splitter.next());
    assert.notEqual(splitter.bytes, second);
    const joined = splitter.bytes.subarray(splitter.start, splitter.end);
    assert.ok(splitter.next());
    assert.equal(splitter.bytes, second);
    assert.equal(Buffer.from(joined).toString(), 'data: b\n\n');
  });

  it('leave a byte order mark out', () => {
    for (const parts of [[Buffer.from('\ufeffdata: a\n\n')], everyByte(Buffer.from('\ufeffdata: a\n\n'))]) {
      assert.deepEqual(split(parts), ['\ufeff', 'data: a\n\n', '']);
    }
    assert.deepEqual(split(everyByte(Buffer.from('\ufeedata: a\n\n'))), ['\ufeedata: a\n\n', '']);
  });

  it('may be read later', () => {
    const splitter = newEventSplitter();
    splitter.push(Buffer.from('data: a\n\nda'));
    splitter.push(Buffer.from('ta: b\n\n'));
    const events = [];
    while (splitter.next()) {
      events.push(Buffer.from(splitter.bytes.subarray(splitter.start, splitter.end)).toString());
    }
    assert.deepEqual(events, ['data: a\n\n', 'data: b\n\n']);
  });
});

describe('an event that is too long to be kept', () => {
  const before = 'data: a\n\n';
  const long = `data: ${'x'.repeat(100)}\n\n`;
  const after = 'data: b\n\n';

  /** Returns the events, each with its `part`. */
  function given(parts: readonly Uint8Array[]): [text: string, part: string][] {
    const splitter = newEventSplitter(64);
    const events: [string, string][] = [];
    for (const piece of parts) {
      splitter.push(Uint8Array.from(piece));
      while (splitter.next()) {
        const { bytes, start, end, part } = splitter;
        events.push([Buffer.from(bytes.subarray(start, end)).toString(), part]);
      }
    }
    splitter.close();
    assert.equal(splitter.next(), false);
    assert.equal(splitter.rest().length, 0);
    return events;
  }

  it('is returned in parts, for any cuts, without effect on the events around it', () => {
    for (const lineEnd of ['\n', '\r\n']) {
      const bytes = Buffer.from((before + long + after).replaceAll('\n', lineEnd));
      for (const step of [1, 7, 20]) {
        const parts: Uint8Array[] = [];
        for (let at = 0; at < bytes.length; at += step) {
          parts.push(bytes.subarray(at, at + step));
        }
        const events = given(parts);
        assert.equal(events.map(([text]) => text).join(''), bytes.toString());
        assert.deepEqual([events[0]?.[1], events.at(-1)?.[1]], ['none', 'none']);
        const kinds = events.slice(1, -1).map(([, part]) => part);
        assert.equal(kinds.pop(), 'last');
        assert.ok(kinds.length > 0 && kinds.every((part) => part === 'begun'), kinds.join());
      }
    }
  });

  it('takes bounded memory, and ends the stream if it never ends', () => {
    const splitter = newEventSplitter(1_000, 10_000);
    const piece = Buffer.alloc(10, 'x');
    let bytes = 0;
    for (; !splitter.overflowed; bytes += piece.length) {
      splitter.push(piece);
      while (splitter.next()) {
        assert.ok(splitter.end - splitter.start <= 1_010);
      }
      assert.ok(bytes <= 10_000);
    }
    assert.ok(bytes >= 9_000);
  });
});

it('never gives much more than 128 KB at once: reading a kept event of a megabyte held the event loop', () => {
  const splitter = newEventSplitter();
  const event = Buffer.from(`data: ${'x'.repeat(1_000_000)}\n\n`);
  let given = 0;
  for (let at = 0; at < event.length; at += 8192) {
    splitter.push(event.subarray(at, at + 8192));
    while (splitter.next()) {
      const length = splitter.end - splitter.start;
      assert.ok(length <= 136 * 1024, `${length} bytes at once`);
      given += length;
    }
  }
  assert.equal(given, event.length);
  assert.equal(splitter.part, 'last');
});
