/** The files of the page of a console. All are in memory, and no other file can be asked for. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { gzipSync } from 'node:zlib';

export interface PageFile {
  readonly type: string;
  readonly bytes: Buffer;
  readonly zipped: Buffer;
}

export interface PageFiles {
  readonly contentSecurityPolicy: string;
  /** Returns the file of a path below `/console/`; the empty one is the page itself. */
  find(name: string): PageFile | undefined;
}

const folder = join(import.meta.dirname, '../page');
const packages = createRequire(import.meta.url);

/** By the name in the page: the package, and its file. */
const libraries = {
  'preact.js': ['preact', 'dist/preact.mjs'],
  'preact-hooks.js': ['preact', 'hooks/dist/hooks.mjs'],
  'uplot.js': ['uplot', 'dist/uPlot.esm.js'],
  'uplot.css': ['uplot', 'dist/uPlot.min.css'],
} as const;

const types = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  ts: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
} as const;

/** Reads the files, and removes the types from the modules of the page. */
export async function pageFiles(): Promise<PageFiles> {
  const names = (await readdir(folder)).filter((name) => isServed(name));
  const texts = new Map<string, string>();
  for (const name of names) {
    texts.set(name, await readFile(join(folder, name), 'utf8'));
  }
  for (const [name, [library, path]] of Object.entries(libraries)) {
    texts.set(name, await readFile(join(dirname(packages.resolve(`${library}/package.json`)), path), 'utf8'));
  }
  const page = texts.get('index.html') ?? '';
  const files = new Map([...(await withoutTypes(texts))].map(([name, text]) => [name, pageFile(name, text)]));
  return {
    contentSecurityPolicy: policyFor(page),
    find: (name) => files.get(name === '' ? 'index.html' : name),
  };
}

function isServed(name: string): boolean {
  return /\.(html|css|svg|ts)$/.test(name) && !name.endsWith('.test.ts');
}

function pageFile(name: string, text: string): PageFile {
  const bytes = Buffer.from(text);
  const extension = name.slice(name.lastIndexOf('.') + 1) as keyof typeof types;
  return { type: types[extension], bytes, zipped: gzipSync(bytes) };
}

/** Allows the files of the page and its import map, and nothing else. */
function policyFor(page: string): string {
  const [, importMap = ''] = /<script type="importmap">(.*?)<\/script>/s.exec(page) ?? [];
  const digest = createHash('sha256').update(importMap).digest('base64');
  return [
    "default-src 'none'",
    `script-src 'self' 'sha256-${digest}'`,
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

/** On another thread: Node warns on its stderr that the function is experimental. */
function withoutTypes(texts: ReadonlyMap<string, string>): Promise<ReadonlyMap<string, string>> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./strip-worker.ts', import.meta.url), { workerData: texts, stderr: true });
    worker.once('message', resolve).once('error', reject);
  });
}
