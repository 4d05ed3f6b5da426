// Keeps compiled code on disk, for this process, its worker threads and its children. Loaded before
// any TypeScript, which Node then takes from the cache too: without its TypeScript compiler a
// command starts in 0.2 s instead of 0.5, and each process needs 30 MB less, each worker thread 10.
// biome-ignore-all lint/style/useNodejsImportProtocol: Node 12 does not know it.
'use strict';
const { enableCompileCache } = require('module');
const os = require('os');
const path = require('path');

const { NODE_COMPILE_CACHE, XDG_CACHE_HOME, HOME } = process.env;
const cacheHome =
  XDG_CACHE_HOME && path.isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : path.join(HOME || os.homedir(), '.cache');
const folder = NODE_COMPILE_CACHE || path.join(cacheHome, 'tallygate', 'compiled');
process.env.NODE_COMPILE_CACHE = folder;
if (enableCompileCache) {
  enableCompileCache(folder);
}
