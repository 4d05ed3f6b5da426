/** The open output items of a responses stream, and the events that end them. */

import { KeptBudget, KeptText } from '../kept-text.ts';
import type { RawJson } from './response-event.ts';

export interface ItemJson {
  [member: string]: unknown;
  type?: unknown;
  id?: unknown;
  status?: unknown;
  content?: unknown;
  summary?: unknown;
}

/** The item and part that an event refers to, and the value that it carries. */
export interface ItemPosition {
  readonly outputIndex: number;
  readonly partIndex: number;
  readonly value?: RawJson | undefined;
}

/** A content part or a summary part of an item. */
interface ItemPart {
  readonly summary: boolean;
  readonly index: number;
  readonly raw: RawJson | undefined;
  readonly text: KeptText;
  textDone: boolean;
  done: boolean;
}

interface OutputItem {
  readonly outputIndex: number;
  readonly raw: RawJson | undefined;
  readonly parts: Map<string, ItemPart>;
  /** What the model writes for a tool: arguments, input or code. */
  input: { readonly text: KeptText; done: boolean } | undefined;
}

/** Items follow one another; the API bounds tool calls at 128. */
const MAX_ITEMS = 512;
const MAX_PARTS = 512;

export class ResponseItems {
  readonly #open = new Map<number, OutputItem>();
  /** Completed items, as the provider wrote them; undefined for one that was too long to keep. */
  readonly #ended = new Map<number, RawJson | undefined>();
  readonly #budget = new KeptBudget();

  add({ outputIndex, value }: ItemPosition): void {
    if (outputIndex < 0 || this.#open.size + this.#ended.size >= MAX_ITEMS) {
      return;
    }
    this.#open.set(outputIndex, { outputIndex, raw: value, parts: new Map(), input: undefined });
  }

  end({ outputIndex, value }: ItemPosition): void {
    const item = this.#open.get(outputIndex);
    if (item === undefined) {
      return;
    }
    for (const part of item.parts.values()) {
      part.text.forget();
    }
    item.input?.text.forget();
    this.#open.delete(outputIndex);
    const fits = value !== undefined && value.length <= this.#budget.left;
    if (fits) {
      this.#budget.left -= value.length;
    }
    this.#ended.set(outputIndex, fits ? value : undefined);
  }

  addPart({ outputIndex, partIndex, value }: ItemPosition, summary: boolean): ItemPart | undefined {
    const item = this.#open.get(outputIndex);
    if (item === undefined || item.parts.size >= MAX_PARTS) {
      return undefined;
    }
    const text = new KeptText(this.#budget);
    const part: ItemPart = { summary, index: partIndex, raw: value, text, textDone: false, done: false };
    item.parts.set(partKey(summary, partIndex), part);
    return part;
  }

  endPart(place: ItemPosition, summary: boolean): void {
    const part = this.#part(place, summary);
    if (part !== undefined) {
      part.done = true;
    }
  }

  endText(place: ItemPosition, summary: boolean): void {
    const part = this.#part(place, summary);
    if (part !== undefined) {
      part.textDone = true;
    }
  }

  endInput({ outputIndex }: ItemPosition): void {
    const input = this.#open.get(outputIndex)?.input;
    if (input !== undefined) {
      input.done = true;
    }
  }

  /** Returns the buffer for the text of a part's deltas. */
  partText(place: ItemPosition, summary: boolean): KeptText | undefined {
    return (this.#part(place, summary) ?? this.addPart(place, summary))?.text;
  }

  /** Returns the buffer for what is written for a tool. */
  inputText({ outputIndex }: ItemPosition): KeptText | undefined {
    const item = this.#open.get(outputIndex);
    if (item === undefined) {
      return undefined;
    }
    item.input ??= { text: new KeptText(this.#budget), done: false };
    return item.input.text;
  }

  #part({ outputIndex, partIndex }: ItemPosition, summary: boolean): ItemPart | undefined {
    return this.#open.get(outputIndex)?.parts.get(partKey(summary, partIndex));
  }

  /** Returns the events that end all open items, without their sequence numbers. */
  closingEvents(): ItemJson[] {
    const events: ItemJson[] = [];
    for (const item of this.#open.values()) {
      closeItem(item, events);
    }
    return events;
  }

  /**
   * Returns all items of the response as it ends now; empty where not all of them could be kept.
   */
  output(): ItemJson[] {
    const items: [number, ItemJson | undefined][] = [...this.#ended].map(([index, raw]) => [index, parsed(raw)]);
    for (const item of this.#open.values()) {
      items.push([item.outputIndex, endedItem(item)]);
    }
    if (items.some(([, item]) => item === undefined)) {
      return [];
    }
    return items.sort(([one], [other]) => one - other).map(([, item]) => item as ItemJson);
  }
}

function partKey(summary: boolean, index: number): string {
  return `${summary ? 's' : 'c'}${index}`;
}

/** Returns the kept object; undefined if the provider wrote something else. */
export function parsed(raw: RawJson | undefined): ItemJson | undefined {
  if (raw === undefined) {
    return undefined;
  }
  try {
    const value: unknown = JSON.parse(Buffer.from(raw).toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as ItemJson) : undefined;
  } catch {
    return undefined;
  }
}

/** For each item type: the event that ends its input, and the member that holds the input. */
const INPUTS: Readonly<Record<string, readonly [event: string, member: string]>> = {
  function_call: ['response.function_call_arguments.done', 'arguments'],
  mcp_call: ['response.mcp_call_arguments.done', 'arguments'],
  custom_tool_call: ['response.custom_tool_call_input.done', 'input'],
  code_interpreter_call: ['response.code_interpreter_call_code.done', 'code'],
};

function closeItem(item: OutputItem, events: ItemJson[]): void {
  const written = parsed(item.raw);
  const place = { item_id: written?.id, output_index: item.outputIndex };
  for (const part of item.parts.values()) {
    closePart(part, place, events);
  }
  const input = INPUTS[String(written?.type)];
  if (input !== undefined && item.input?.done !== true) {
    events.push({ type: input[0], ...place, [input[1]]: item.input?.text.toString() ?? '' });
  }
  const ended = endedItem(item);
  if (ended !== undefined) {
    events.push({ type: 'response.output_item.done', output_index: item.outputIndex, item: ended });
  }
}

function closePart(part: ItemPart, place: ItemJson, events: ItemJson[]): void {
  if (part.done) {
    return;
  }
  const ended = endedPart(part);
  const text = part.text.toString();
  if (part.summary) {
    const at = { ...place, summary_index: part.index };
    if (!part.textDone) {
      events.push({ type: 'response.reasoning_summary_text.done', ...at, text });
    }
    events.push({ type: 'response.reasoning_summary_part.done', ...at, part: ended });
    return;
  }
  const at = { ...place, content_index: part.index };
  if (!part.textDone) {
    if (ended.type === 'refusal') {
      events.push({ type: 'response.refusal.done', ...at, refusal: text });
    } else if (ended.type === 'reasoning_text') {
      events.push({ type: 'response.reasoning_text.done', ...at, text });
    } else {
      events.push({ type: 'response.output_text.done', ...at, text, logprobs: [] });
    }
  }
  events.push({ type: 'response.content_part.done', ...at, part: ended });
}

function endedPart(part: ItemPart): ItemJson {
  const written = parsed(part.raw) ?? { type: part.summary ? 'summary_text' : 'output_text' };
  return { ...written, [written.type === 'refusal' ? 'refusal' : 'text']: part.text.toString() };
}

/** Returns the item at an early end; undefined if it was too long to keep. */
function endedItem(item: OutputItem): ItemJson | undefined {
  const written = parsed(item.raw);
  if (written === undefined) {
    return undefined;
  }
  const ended: ItemJson = { ...written };
  if ('status' in written) {
    ended.status = 'incomplete';
  }
  const parts = [...item.parts.values()].sort((one, other) => one.index - other.index);
  const content = parts.filter((part) => !part.summary);
  const summary = parts.filter((part) => part.summary);
  if (content.length > 0) {
    ended.content = content.map(endedPart);
  }
  if (summary.length > 0) {
    ended.summary = summary.map(endedPart);
  }
  const input = INPUTS[String(written.type)];
  if (input !== undefined && item.input !== undefined) {
    ended[input[1]] = item.input.text.toString();
  }
  return ended;
}
