#!/usr/bin/env bash
# Builds the OpenTelemetry Collector that the tests of this folder use, and reads the semantic conventions from
# OpenTelemetry's Go module, as .tools/otel/collector and .tools/otel/conventions.json. Takes minutes the first time.
set -euo pipefail
cd "$(dirname "$0")/program"
# The newest version of the conventions that contains those for generative AI.
conventions=semconv/v1.41.0
command -v go > /dev/null || { echo 'build.sh: needs Go 1.26 or newer' >&2; exit 1; }
digest=$(cat go.mod go.sum main.go conventions/main.go ../build.sh | sha256sum)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/tallygate/otel-collector-${digest:0:12}"
if [ ! -d "$cache" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false -ldflags='-s -w' -o "$work/otel/collector" .
  module=$(go list -mod=readonly -m -f '{{.Dir}}' go.opentelemetry.io/otel)
  go run -mod=readonly ./conventions "$module/$conventions" > "$work/otel/conventions.json"
  mkdir -p "${cache%/*}"
  mv "$work/otel" "$cache"
fi
mkdir -p ../../../.tools
ln -sfn "$cache" ../../../.tools/otel
