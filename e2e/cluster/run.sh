#!/usr/bin/env bash
# Runs the tests that need a cluster: e2e/cluster/run.sh [FILE…]
#
# Without E2E_KUBECONFIG, starts a cluster and stops it afterwards. Uses and keeps a running one.
# E2E_KUBECONFIG=FILE       uses a cluster with Envoy Gateway, its Backend API, and Tallygate's image
# E2E_IMAGE=NAME:TAG        the image (tallygate:dev)
# E2E_NEXT_IMAGE=NAME:TAG   a second name of the image, to which rolling-long upgrades
# E2E_VALUES='A=B C=D'      additional values of the chart
# CLUSTER=PROGRAM           starts a cluster; not part of this repository (../shared/cluster/cluster)
#
# e2e/cluster/run.sh --can-run only checks whether there is a cluster to use: exits with 0, or with 1
# and the reason.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/node_modules/.bin:$PATH"
export E2E_IMAGE=${E2E_IMAGE:-tallygate:dev}
rig=${CLUSTER:-../shared/cluster/cluster}
fail() { echo "e2e/cluster: $*" >&2; exit 1; }
if [ -z "${E2E_KUBECONFIG:-}" ]; then
  [ -x "$rig" ] || fail "no cluster found: $rig does not exist; set E2E_KUBECONFIG to the kubeconfig of a cluster, or CLUSTER to a program that starts one"
  [ "$(id -u)" = 0 ] || fail "$rig needs root to start a cluster; run as root, or set E2E_KUBECONFIG"
fi
[ "${1:-}" != --can-run ] || exit 0
# Tests beside the code run first, because they start their own controllers, and the controller of the
# chart would watch their namespaces.
if [ $# -gt 0 ]; then
  beside=() whole=("$@")
else
  mapfile -t beside < <(find . -path ./node_modules -prune -o -name '*.cluster.test.ts' -print | sort)
  # These take twelve minutes in total. Others run only by name.
  whole=(e2e/cluster/{access,attempts,browser-login,budget-alerts,chart,console,dashboards,enforcing,first-completion,fleets,guardrails,install,mistakes,own-answers,rolling,shared-store,tenancy,user-policies}.test.ts)
fi
# run WRAPPER…
run() {
  local status=0 node=(node --test --test-concurrency=1 --test-timeout=300000)
  [ ${#beside[@]} -eq 0 ] || "$@" "${node[@]}" "${beside[@]}" || status=1
  "$@" "${node[@]}" "${whole[@]}" || status=1
  return $status
}

if [ -n "${E2E_KUBECONFIG:-}" ]; then
  KUBECONFIG=$E2E_KUBECONFIG run env
  exit
fi

"$rig" setup
if ! "$rig" status > /dev/null 2>&1; then
  # Also if the cluster does not start, and after a signal.
  trap '"$rig" down' EXIT
  trap 'exit 143' TERM INT HUP
  "$rig" up --fresh
fi
"$rig" kubectl -n envoy-gateway-system get deployment envoy-gateway > /dev/null 2>&1 || "$rig" eg-install
tools/image-rig.sh "$E2E_IMAGE"
export E2E_NEXT_IMAGE=${E2E_NEXT_IMAGE:-$E2E_IMAGE-next}
tools/image-rig.sh "$E2E_NEXT_IMAGE"
# NAME.envoy-gateway.yaml has the configuration of Envoy Gateway that a test file needs, or
# NAME.envoy-gateway.set a value of its chart. With E2E_KUBECONFIG, install it yourself.
settings=${1:+${1%.test.ts}.envoy-gateway}
if [ -f "$settings.yaml" ]; then
  needed=(--extension-manager "$settings.yaml")
elif [ -f "$settings.set" ]; then
  needed=(--set "$(< "$settings.set")")
else
  run "$rig" net
  exit
fi
"$rig" eg-install "${needed[@]}"
status=0
run "$rig" net || status=1
"$rig" eg-install
exit $status
