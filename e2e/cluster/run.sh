#!/usr/bin/env bash
# Runs the tests that need a cluster: e2e/cluster/run.sh [FILE…]
#
# Without E2E_KUBECONFIG they run on a cluster that is started here and ended afterwards (one that runs already is used, and stays).
# E2E_KUBECONFIG=FILE   any cluster with Envoy Gateway, its Backend API enabled, and Tallygate's image
# E2E_IMAGE=NAME:TAG    that image (tallygate:dev)
# E2E_NEXT_IMAGE=NAME:TAG   the same by a second name, to which rolling-long changes
# E2E_VALUES='A=B C=D'   values for the chart, where the cluster needs some
# CLUSTER=PROGRAM   what starts a cluster here; it is not part of this repository (../shared/cluster/cluster)
#
# e2e/cluster/run.sh --can-run runs nothing: it says why there is no cluster to run on, and exits with 1, or exits with 0.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/node_modules/.bin:$PATH"
export E2E_IMAGE=${E2E_IMAGE:-tallygate:dev}
rig=${CLUSTER:-../shared/cluster/cluster}
fail() { echo "e2e/cluster: $*" >&2; exit 1; }
if [ -z "${E2E_KUBECONFIG:-}" ]; then
  [ -x "$rig" ] || fail "there is no cluster: set E2E_KUBECONFIG to the file of one that runs, or CLUSTER to a program that starts one (there is no $rig)"
  [ "$(id -u)" = 0 ] || fail "starting a cluster by $rig needs root; set E2E_KUBECONFIG to use another one"
fi
[ "${1:-}" != --can-run ] || exit 0
# Tests beside the code run first: they bring controllers of their own, and the chart's would work on their namespaces, too.
if [ $# -gt 0 ]; then
  beside=() whole=("$@")
else
  mapfile -t beside < <(find . -path ./node_modules -prune -o -name '*.cluster.test.ts' -print | sort)
  # Those that take less than ten minutes together; others are run by name.
  whole=(e2e/cluster/{access,chart,enforcing,first-completion,fleets,install,living,mistakes,own-answers,rolling,tenancy,user-policies}.test.ts)
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
  # Also when it does not come up, and when we are told to end.
  trap '"$rig" down' EXIT
  trap 'exit 143' TERM INT HUP
  "$rig" up --fresh
fi
"$rig" kubectl -n envoy-gateway-system get deployment envoy-gateway > /dev/null 2>&1 || "$rig" eg-install
tools/image-rig.sh "$E2E_IMAGE"
export E2E_NEXT_IMAGE=${E2E_NEXT_IMAGE:-$E2E_IMAGE-next}
tools/image-rig.sh "$E2E_NEXT_IMAGE"
# A file that is run by name may need an Envoy Gateway of another configuration: NAME.envoy-gateway.yaml has its fields. Elsewhere install it so yourself.
settings=${1:+${1%.test.ts}.envoy-gateway.yaml}
if [ ! -f "$settings" ]; then
  run "$rig" net
  exit
fi
"$rig" eg-install --extension-manager "$settings"
status=0
run "$rig" net || status=1
"$rig" eg-install
exit $status
