#!/usr/bin/env bash
# Installs the packages of package.json. First installs the Node 24 version that package.json names and runs
# npm with it, because many packages need a newer Node than the system's.
set -euo pipefail
cd "$(dirname "$0")/.."
# Not `npm ci`, which needs the packages of all platforms; not every registry mirror has them. Versions and
# digests still come from the lockfile.
install=(npm install --no-save --no-audit --no-fund --loglevel=error)
version=$(sed -nE 's/^ *"node": "([0-9.]+)",?$/\1/p' package.json)
own=$PWD/node_modules/node/bin
if [ "$("$own/node" --version 2> /dev/null)" != "v$version" ]; then
  echo "Installing Node $version …"
  first=$(mktemp -d)
  trap 'rm -rf "$first"' EXIT
  "${install[@]}" --silent --no-package-lock --prefix "$first" "node@$version" ||
    { echo "Cannot install Node $version. npm reports:" >&2; "${install[@]}" --no-package-lock --prefix "$first" "node@$version"; }
  own=$first/node_modules/node/bin
fi
echo 'Installing packages …'
PATH=$own:$PATH "${install[@]}"
ln -sfn ../../cli/bin.cjs node_modules/.bin/tallygate
