#!/usr/bin/env bash
# Runs the tests that need a cluster: e2e/cluster/run.sh [FILE…]
#
# Without E2E_KUBECONFIG they run on a cluster that is started here and ended afterwards (one that runs already is used, and stays).
# E2E_KUBECONFIG=FILE   any cluster with Envoy Gateway, its Backend API enabled, and Tallygate's image
# E2E_IMAGE=NAME:TAG    that image (tallygate:dev)
# E2E_VALUES='A=B C=D'   values for the chart, where the cluster needs some
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/node_modules/.bin:$PATH"
export E2E_IMAGE=${E2E_IMAGE:-tallygate:dev}
files=("$@")
if [ ${#files[@]} -eq 0 ]; then
  # Tests beside the code come first: they use the kinds alone.
  mapfile -t files < <(find . -path ./node_modules -prune -o -name '*.cluster.test.ts' -print | sort; ls e2e/cluster/*.test.ts)
fi
tests=(node --test --test-concurrency=1 --test-timeout=300000 "${files[@]}")

if [ -n "${E2E_KUBECONFIG:-}" ]; then
  KUBECONFIG=$E2E_KUBECONFIG exec "${tests[@]}"
fi

rig=${CLUSTER:-../shared/cluster/cluster}
fail() { echo "e2e/cluster: $*" >&2; exit 1; }
[ -x "$rig" ] || fail "there is no $rig to start a cluster with; set E2E_KUBECONFIG to use another one"
[ "$(id -u)" = 0 ] || fail "starting a cluster needs root; set E2E_KUBECONFIG to use another one"

"$rig" setup
if ! "$rig" status > /dev/null 2>&1; then
  # Also when it does not come up, and when we are told to end.
  trap '"$rig" down' EXIT
  trap 'exit 143' TERM INT HUP
  "$rig" up --fresh
fi
"$rig" kubectl -n envoy-gateway-system get deployment envoy-gateway > /dev/null 2>&1 || "$rig" eg-install
tools/image-rig.sh "$E2E_IMAGE"
"$rig" net "${tests[@]}"
