/** Parses YAML text into values with line numbers. */
import { isMap, isScalar, isSeq, LineCounter, type ParsedNode, parseAllDocuments } from 'yaml';
import type { Problem, Source } from '../problem.ts';
import { isRecord, type UntypedObject } from './untyped-object.ts';

export interface YamlDocument {
  readonly value: UntypedObject;
  readonly source: Source;
}

/**
 * Maximum aliases of a document: enough for shared defaults, too few for a "billion laughs" attack.
 */
const MAX_ALIASES = 100;

/** What one part of a file contains; lines are counted from the start of the part. */
interface ReadPart {
  readonly documents: readonly YamlDocument[];
  readonly problems: readonly (Problem & { readonly line: number })[];
}

/**
 * The parts of each file as they were read last, by their text: a file with 10,000 Secrets of which
 * one changed is read again in a tenth of the time.
 */
const partsOfFiles = new Map<string, ReadonlyMap<string, ReadPart>>();
const MAX_FILES = 64;

export function readDocuments(
  file: string,
  text: string,
): { readonly documents: readonly YamlDocument[]; readonly problems: readonly Problem[] } {
  const known = partsOfFiles.get(file);
  const read = new Map<string, ReadPart>();
  const documents: YamlDocument[] = [];
  const problems: Problem[] = [];
  let line = 0;
  for (const part of partsOf(text)) {
    const found = read.get(part) ?? known?.get(part) ?? readPart(file, part);
    read.set(part, found);
    for (const document of found.documents) {
      documents.push(line === 0 ? document : moved(document, line));
    }
    problems.push(...found.problems.map((problem) => ({ ...problem, line: problem.line + line })));
    line += part.split('\n').length - 1;
  }
  partsOfFiles.delete(file);
  partsOfFiles.set(file, read);
  if (partsOfFiles.size > MAX_FILES) {
    partsOfFiles.delete(partsOfFiles.keys().next().value!);
  }
  return { documents, problems };
}

/**
 * Splits a text before each line that starts with `---`, which begins a document even inside of a
 * block scalar (YAML 1.2, rule c-forbidden). A text with directives or `...` stays whole.
 */
function partsOf(text: string): readonly string[] {
  return /^(?:%|\.\.\.)/m.test(text) ? [text] : text.split(/^(?=---(?:\s|$))/m);
}

function moved({ value, source }: YamlDocument, byLines: number): YamlDocument {
  const lines = new Map<string, number>();
  for (const [path, line] of source.lines) {
    lines.set(path, line + byLines);
  }
  return { value, source: { ...source, lines } };
}

function readPart(file: string, text: string): ReadPart {
  const counter = new LineCounter();
  const documents: YamlDocument[] = [];
  const problems: (Problem & { readonly line: number })[] = [];
  const refuse = (offset: number, message: string, fix: string): void => {
    const { line } = counter.linePos(offset);
    problems.push({ severity: 'Error', reason: 'InvalidYaml', path: '', message, fix, file, line });
  };
  const parsed = parseAllDocuments(text, { lineCounter: counter, prettyErrors: false });
  for (const document of 'empty' in parsed ? [] : parsed) {
    if (document.errors.length > 0) {
      for (const error of document.errors) {
        refuse(error.pos[0], sentence(error.message), 'correct the YAML syntax');
      }
      continue;
    }
    const root: ParsedNode | null = document.contents;
    if (root === null || (isScalar(root) && root.value === null)) {
      continue;
    }
    let value: unknown;
    try {
      value = document.toJS({ maxAliasCount: MAX_ALIASES });
    } catch (error) {
      const message = error instanceof Error ? sentence(error.message) : 'aliases cannot be resolved';
      refuse(root.range[0], message, 'write the values out instead of using aliases');
      continue;
    }
    const lines = new Map<string, number>();
    noteLines(root, '', counter, lines);
    if (!isRecord(value)) {
      refuse(
        root.range[0],
        'is not a Kubernetes object',
        'start it with apiVersion and kind, and separate objects by ---',
      );
      continue;
    }
    documents.push({ value, source: { file, lines } });
  }
  return { documents, problems };
}

function noteLines(node: ParsedNode | null, path: string, counter: LineCounter, lines: Map<string, number>): void {
  if (node === null) {
    return;
  }
  if (!lines.has(path)) {
    lines.set(path, counter.linePos(node.range[0]).line);
  }
  if (isMap<ParsedNode, ParsedNode | null>(node)) {
    for (const { key, value } of node.items) {
      if (!isScalar(key)) {
        continue;
      }
      const at = path === '' ? String(key.value) : `${path}.${key.value}`;
      lines.set(at, counter.linePos(key.range?.[0] ?? 0).line);
      noteLines(value, at, counter, lines);
    }
  } else if (isSeq<ParsedNode>(node)) {
    node.items.forEach((item, index) => {
      noteLines(item, `${path}[${index}]`, counter, lines);
    });
  }
}

function sentence(message: string): string {
  return message.split('\n')[0]?.replace(/[.:]$/, '') ?? message;
}
