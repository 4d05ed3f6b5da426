#!/usr/bin/env bash
# Installs the packages of package.json. Node 24, in the version that stands there, comes first, and npm runs by it: many packages want a newer Node than the system's.
set -euo pipefail
cd "$(dirname "$0")/.."
# Not `npm ci`: it insists on the packages of all platforms, which not every registry mirror has. Versions and digests are the lockfile's all the same.
install=(npm install --no-save --no-audit --no-fund --loglevel=error)
version=$(sed -nE 's/^ *"node": "([0-9.]+)",?$/\1/p' package.json)
own=$PWD/node_modules/node/bin
if [ "$("$own/node" --version 2> /dev/null)" != "v$version" ]; then
  echo "Bringing Node $version …"
  first=$(mktemp -d)
  trap 'rm -rf "$first"' EXIT
  "${install[@]}" --silent --no-package-lock --prefix "$first" "node@$version" ||
    { echo "Node $version could not be installed; this is what npm says:" >&2; "${install[@]}" --no-package-lock --prefix "$first" "node@$version"; }
  own=$first/node_modules/node/bin
fi
echo 'Installing the packages …'
PATH=$own:$PATH "${install[@]}"
ln -sfn ../../cli/bin.cjs node_modules/.bin/tallygate
