#!/usr/bin/env bash
# Builds the Dockerfile's image without Docker and loads it into the test cluster: tools/image-rig.sh NAME[:TAG]
# Node and the packages change rarely, so they form a base image that is packed once.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
rig=${CLUSTER:-../shared/cluster/cluster}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tallygate/image
mkdir -p "$cache"
exec 9> "$cache/lock"
flock 9
node tools/image.ts "$cache/root" > /dev/null
options=()
while read -r word rest; do
  case $word in
    ENV) options+=(--env "$rest") ;;
    USER) options+=(--user "$rest") ;;
    WORKDIR) options+=(--workdir "$rest") ;;
    ENTRYPOINT) options+=(--entrypoint "$rest") ;;
  esac
done < <(sed -n '/^FROM scratch/,$p' Dockerfile)
base=$cache/base-$(sha256sum < "$cache/root.stamp" | cut -c1-16).tar
if [ ! -f "$base" ]; then
  rm -f "$cache"/base-*.tar
  parts=(-d "$cache/root/app/node_modules=/app/node_modules")
  for part in "$cache/root"/*; do [ "$part" = "$cache/root/app" ] || parts+=(-d "$part=/$(basename "$part")"); done
  "$rig" image -t tallygate-base:dev -o "$base.new" "${parts[@]}" > /dev/null
  mv "$base.new" "$base"
fi
"$rig" image -t "$1" --load --base "$base" -d "$cache/root/app=/app" --exclude node_modules "${options[@]}"
