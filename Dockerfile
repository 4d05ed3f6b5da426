# One image for all verbs: Node, the program, nothing else. A tag can change; images that others run are built from a digest:
#   docker build --build-arg NODE_IMAGE=node:24-slim@$(docker buildx imagetools inspect node:24-slim --format '{{.Manifest.Digest}}') .
# Inspect and build anew for each release and for each security fix of Node.
ARG NODE_IMAGE=node:24-slim

FROM ${NODE_IMAGE} AS build
RUN install -d -o node -g node /build
WORKDIR /build
USER node
COPY --chown=node:node package.json package-lock.json ./
# The lockfile, digests and all, without a package's own scripts. `npm ci` would ask for development packages of all platforms even where it installs none of them.
RUN npm pkg delete devDependencies && npm ci --ignore-scripts --no-audit --no-fund
USER root
COPY . .
RUN node tools/image.ts /image

FROM scratch
COPY --from=build /image /
# Compiled code lies in the image, so that a start is quick on a read-only root.
ENV XDG_CACHE_HOME=/app/cache
ENV HOME=/app
USER 65532:65532
WORKDIR /app
ENTRYPOINT ["/usr/local/bin/node", "--max-semi-space-size=8", "/app/cli/main.ts"]
