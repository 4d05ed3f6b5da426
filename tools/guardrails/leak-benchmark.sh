#!/usr/bin/env bash
# Runs pii-leak-benchmark against a gateway with seven detectors and keeps what it prints.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=.tools/guardrails
state=$(mktemp -d)
XDG_STATE_HOME="$state" TALLYGATE_METRICS_ADDRESS=127.0.0.1:8781 node cli/main.ts run tools/guardrails/leak-benchmark.yaml \
  > "$state/gateway.log" 2>&1 &
gateway=$!
trap 'kill $gateway; wait $gateway || true; rm -rf "$state"' EXIT
for _ in $(seq 100); do
  curl -fs http://127.0.0.1:8781/readyz > /dev/null && break
  sleep 0.2
done
"$folder/presidio/bin/pii-leak-benchmark" selfcheck --target-base-url http://127.0.0.1:8780/v1 --json-out "$state/report.json" \
  > "$folder/leak-benchmark.txt" || tail -5 "$state/gateway.log" >&2
