/**
 * A streamed answer: bytes in, bytes out, event by event, never further than its lease. Stops where the lease is at its end and says how much more the
 * event needs; goes on when more was granted, or ends the stream in the dialect when not.
 */
import type { StreamReader, TextSink, Usage, Verdict } from '../providers/adapter.ts';
import { newEventSplitter } from '../stream/events.ts';
import type { Meter } from '../tokens/meter.ts';

/** Text of one event beyond this is not tokenized but reckoned by bytes: one event must not hold the event loop. */
const COUNTED_EVENT_BYTES = 16 * 1024;

/** Tokens of text that is only reckoned: more than English needs, so that the lease is passed sooner rather than later. */
const BYTES_A_TOKEN = 3;

export interface StreamAnswer {
  /** Bytes from the provider. What may go on to the client is given to `send`. False: the lease is at its end; see `needed`. */
  push(bytes: Uint8Array): boolean;
  /** Goes on after an extension. */
  extend(tokens: number): boolean;
  /** What the event at which it stopped needs on top of the lease. */
  readonly needed: number;
  /** The provider's end: sends what stood incomplete. False: the lease is at its end. */
  finish(): boolean;
  /** Ends the stream in the dialect. */
  cut(usage: (outputTokens: number) => Usage): void;
  readonly reader: StreamReader;
  readonly leasedTokens: number;
  readonly sawText: boolean;
  /** Tokens of text that came, exact where the tokenizer is the model's own; not more than the lease. */
  outputTokens(): number;
  /** The count, where all text was counted anyway. */
  readonly countedTokens: number | undefined;
  /** An event was longer than we keep. */
  readonly overflowed: boolean;
}

export function newStreamAnswer(
  reader: StreamReader,
  meter: Meter,
  leased: number,
  send: (bytes: Uint8Array) => void,
): StreamAnswer {
  const splitter = newEventSplitter();
  let lease = leased;
  let reckoned = 0;
  let counted = 0;
  let eventBytes = 0;
  let sawText = false;
  let needed = 0;
  /** What the stopped event becomes when it may go. */
  let stopped: Uint8Array | undefined;

  const sink: TextSink = {
    text(channel, bytes, start, end) {
      sawText = true;
      const counted = Math.min(end - start, Math.max(0, COUNTED_EVENT_BYTES - eventBytes));
      eventBytes += end - start;
      if (counted > 0) meter.text(channel, bytes, start, start + counted);
      if (counted < end - start) reckoned += Math.ceil((end - start - counted) / BYTES_A_TOKEN);
    },
  };

  /** Reads an event; `stop` keeps it back, because the lease does not reach. */
  function judge(bytes: Uint8Array, start: number, end: number): Verdict | 'stop' {
    eventBytes = 0;
    const verdict = reader.read(bytes, start, end, sink);
    if (meter.upperBound + reckoned <= lease) return verdict;
    counted = meter.count();
    const tokens = counted + reckoned;
    if (tokens <= lease) return verdict;
    stopped = verdict === 'drop' ? undefined : verdict === 'pass' ? bytes.subarray(start, end) : reader.replacement;
    needed = tokens - lease;
    return 'stop';
  }

  /** Whole events that pass unchanged and lie side by side leave as one piece. */
  function drain(): boolean {
    let buffer: Uint8Array | undefined;
    let from = 0;
    let to = 0;
    const flush = () => {
      if (buffer !== undefined && to > from) send(buffer.subarray(from, to));
      buffer = undefined;
    };
    while (splitter.next()) {
      const { bytes, start, end } = splitter;
      const verdict = judge(bytes, start, end);
      if (verdict === 'pass' && buffer === bytes && to === start) {
        to = end;
        continue;
      }
      flush();
      if (verdict === 'stop') return false;
      if (verdict === 'replace') send(reader.replacement);
      if (verdict === 'pass') {
        buffer = bytes;
        from = start;
        to = end;
      }
    }
    flush();
    return true;
  }

  return {
    push(bytes) {
      splitter.push(bytes);
      return drain();
    },
    extend(tokens) {
      lease += tokens;
      if (tokens < needed) {
        needed -= tokens;
        return false;
      }
      needed = 0;
      if (stopped !== undefined) send(stopped);
      stopped = undefined;
      return drain();
    },
    get needed() {
      return needed;
    },
    finish() {
      splitter.close();
      if (!drain()) return false;
      // A last event without its blank line is read too: it may have the usage.
      const rest = splitter.rest();
      if (rest.length === 0) return true;
      const verdict = judge(rest, 0, rest.length);
      if (verdict === 'stop') return false;
      if (verdict !== 'drop') send(verdict === 'pass' ? rest : reader.replacement);
      return true;
    },
    cut(usage) {
      send(reader.cut(usage(Math.min(lease, meter.count() + reckoned))));
    },
    reader,
    get leasedTokens() {
      return lease;
    },
    get sawText() {
      return sawText;
    },
    outputTokens: () => Math.min(lease, meter.count() + reckoned),
    get countedTokens() {
      return counted === meter.upperBound && reckoned === 0 ? counted : undefined;
    },
    get overflowed() {
      return splitter.overflowed;
    },
  };
}
