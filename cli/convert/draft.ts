/** The resources that a conversion writes, with comments where it made a decision. */
import { isMap, isSeq, type Node, type Scalar, Document as YamlDocument } from 'yaml';
import { printableDocument } from '../terminal/yaml.ts';

export interface DraftObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: object;
  readonly type?: string;
  readonly stringData?: Readonly<Record<string, string>>;
  /** Of a ConfigMap. */
  readonly data?: Readonly<Record<string, string>>;
}

/** A member of an object in a draft; `key` is '' for the object itself. */
export interface Place {
  readonly draft: ObjectDraft;
  readonly holder: object;
  readonly key: string;
}

const COMMENT_COLUMNS = 96;

export class ObjectDraft {
  readonly object: DraftObject;
  readonly #comments = new Map<object, Map<string, Set<string>>>();

  constructor(object: DraftObject) {
    this.object = object;
  }

  place(holder: object = this.object, key = ''): Place {
    return { draft: this, holder, key };
  }

  /** Adds a comment above a place. */
  comment({ holder, key }: Place, text: string): void {
    const ofHolder = this.#comments.get(holder) ?? new Map<string, Set<string>>();
    this.#comments.set(holder, ofHolder);
    const texts = ofHolder.get(key) ?? new Set();
    ofHolder.set(key, texts.add(text));
  }

  /** Names a place, as in `AIBackend openai spec.endpoint`. */
  nameOf({ holder, key }: Place): string {
    const { kind, metadata } = this.object;
    const at = pathTo(this.object, holder) ?? '';
    return [`${kind} ${metadata.name}`, [at, key].filter((each) => each !== '').join('.')].join(' ').trim();
  }

  toYaml(): string {
    const document = new YamlDocument(this.object, { aliasDuplicateObjects: false, compat: 'yaml-1.1' });
    const { contents } = document;
    this.#commentOn(this.object, contents, isMap<Scalar>(contents) ? contents.items[0]?.key : undefined);
    return printableDocument(document, { lineWidth: 0 });
  }

  /** A comment on the value itself stands above `owner`. */
  #commentOn(value: unknown, node: unknown, owner: Node | undefined, isItem = false): void {
    if (typeof value !== 'object' || value === null) {
      return;
    }
    const comments = this.#comments.get(value);
    addComment(owner, comments?.get(''));
    if (isMap<Scalar>(node)) {
      for (const [index, { key, value: member }] of node.items.entries()) {
        const name = String(key.value);
        // Above the item of a list, not between its dash and its first member.
        addComment(index === 0 && isItem ? (owner ?? key) : key, comments?.get(name));
        this.#commentOn(Reflect.get(value, name), member, key);
      }
    } else if (isSeq<Node>(node)) {
      for (const [index, item] of node.items.entries()) {
        this.#commentOn(Reflect.get(value, index), item, item, true);
      }
    }
  }
}

/** The text of all drafts, as one file. */
export function draftsToYaml(drafts: readonly ObjectDraft[]): string {
  return drafts.map((draft) => draft.toYaml()).join('---\n');
}

function addComment(node: Node | undefined, texts: ReadonlySet<string> | undefined): void {
  if (node !== undefined && texts !== undefined) {
    const before = node.commentBefore ? [node.commentBefore] : [];
    node.commentBefore = [...before, ...[...texts].flatMap(wrapped)].join('\n');
  }
}

function wrapped(text: string): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < COMMENT_COLUMNS) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else {
      lines.push(` ${word}`);
    }
  }
  return lines;
}

function pathTo(within: unknown, holder: object): string | undefined {
  if (within === holder) {
    return '';
  }
  if (typeof within !== 'object' || within === null) {
    return undefined;
  }
  for (const [key, value] of Object.entries(within)) {
    const below = pathTo(value, holder);
    if (below !== undefined) {
      const step = Array.isArray(within) ? `[${key}]` : key;
      return below === '' ? step : `${step}${below.startsWith('[') ? '' : '.'}${below}`;
    }
  }
  return undefined;
}
