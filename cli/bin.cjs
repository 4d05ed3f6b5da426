#!/usr/bin/env node
// Starts tallygate with any version of Node: the sources are TypeScript, which needs Node 22.18,
// and the project has its own Node.
// biome-ignore-all lint/style/useNodejsImportProtocol: Node 12 does not know it.
'use strict';
const fs = require('fs');
const path = require('path');
const { spawn } = require('child_process');
const { pathToFileURL } = require('url');
require('./compile-cache.cjs');

const main = path.join(__dirname, 'main.ts');
const own = path.join(__dirname, '..', 'node_modules', 'node', 'bin', 'node');
const [major, minor] = process.versions.node.split('.').map(Number);

if (major > 22 || (major === 22 && minor >= 18)) {
  import(pathToFileURL(main).href);
} else if (fs.existsSync(own)) {
  startWith(own);
} else {
  console.error(
    `tallygate needs Node 22.18 or newer, but this is ${process.versions.node}; run \`make setup\`, which installs one`,
  );
  process.exit(1);
}

function startWith(node) {
  // The channel tells the child when this process ends, in any way.
  const child = spawn(node, [main].concat(process.argv.slice(2)), { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.on('SIGINT', () => {
    // A terminal sends Ctrl-C to the child too, and a second signal would end it at once.
    if (!process.stdin.isTTY) {
      child.kill('SIGINT');
    }
  });
  // npm sends signals only to the shell in between; see cli/run.ts.
  const parent = process.ppid;
  if (process.env.npm_command && parent !== 1) {
    const poll = setInterval(() => {
      if (process.ppid === parent) {
        return;
      }
      clearInterval(poll);
      if (child.connected) {
        child.disconnect();
      }
    }, 250);
  }
  child.on('exit', (code, signal) => process.exit(signal === null ? code : 1));
}
