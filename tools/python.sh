#!/usr/bin/env bash
# Installs the official Python clients into .tools/python, for their tests.
set -euo pipefail
cd "$(dirname "$0")/.."
requirements=e2e/data-plane/testdata/python/requirements.txt
if ! version=$(python3 -c 'import sys; assert sys.version_info >= (3, 11); print(*sys.version_info[:2], sep=".")' 2> /dev/null); then
  echo 'python.sh: no Python 3.11 or newer' >&2
  exit 1
fi
# Some packages are compiled for one version of Python.
digest=$(sha256sum "$requirements")
cache="${XDG_CACHE_HOME:-$HOME/.cache}/tallygate/python-$version-${digest:0:12}"
if [ ! -d "$cache" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  python3 -m pip install --quiet --retries 1 --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary=:all: \
    --require-hashes --target "$work/python" -r "$requirements"
  mkdir -p "${cache%/*}"
  mv "$work/python" "$cache"
fi
mkdir -p .tools
ln -sfn "$cache" .tools/python
