#!/usr/bin/env bash
# Measures Presidio behind its HTTP API and writes bench/results/guardrails-presidio.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/node_modules/.bin:$PATH"
folder=.tools/guardrails/presidio-http
port=${1:-9902}
if [ ! -x "$folder/bin/gunicorn" ]; then
  python3 -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check 'presidio-analyzer[server]==2.2.366'
fi
"$folder/bin/gunicorn" --chdir tools/guardrails --bind "127.0.0.1:$port" --workers 1 --log-level warning \
  --keep-alive 60 --worker-class gthread --threads 2 presidio_server:app &
server=$!
trap 'kill $server' EXIT
until (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do
  kill -0 $server
  sleep 0.2
done
node tools/guardrails/presidio-http.ts "$port"
