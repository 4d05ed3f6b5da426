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

export function readDocuments(
  file: string,
  text: string,
): { readonly documents: readonly YamlDocument[]; readonly problems: readonly Problem[] } {
  const counter = new LineCounter();
  const documents: YamlDocument[] = [];
  const problems: Problem[] = [];
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
