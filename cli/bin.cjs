#!/usr/bin/env node
// Starts tallygate, whatever Node runs this file: the sources are TypeScript, which Node reads from 22.18 on, and the project brings one of its own.
// biome-ignore-all lint/style/useNodejsImportProtocol: Node 12 does not know it.
'use strict';
const fs = require('fs');
const path = require('path');
const { spawn } = require('child_process');
const { pathToFileURL } = require('url');

const main = path.join(__dirname, 'main.ts');
const own = path.join(__dirname, '..', 'node_modules', 'node', 'bin', 'node');
const [major, minor] = process.versions.node.split('.').map(Number);

if (major > 22 || (major === 22 && minor >= 18)) {
  import(pathToFileURL(main).href);
} else if (fs.existsSync(own)) {
  startWith(own);
} else {
  console.error(
    `tallygate needs Node 22.18 or newer, and this is ${process.versions.node}; run \`make setup\`, which brings one`,
  );
  process.exit(1);
}

function startWith(node) {
  // By the channel the child sees when we are gone, however we end.
  const child = spawn(node, [main].concat(process.argv.slice(2)), { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.on('SIGINT', () => {
    // A terminal sends Ctrl-C to the child too, and a second signal would end it at once.
    if (!process.stdin.isTTY) {
      child.kill('SIGINT');
    }
  });
  // npm passes signals to the shell between it and us alone; see cli/run.ts.
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
