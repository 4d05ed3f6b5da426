# One image for all commands, with Node and the program only. Tags can change, so build published
# images from a digest:
#   docker build --build-arg NODE_IMAGE=node:24-slim@$(docker buildx imagetools inspect node:24-slim --format '{{.Manifest.Digest}}') .
# Rebuild for each release and each security fix of Node.
ARG NODE_IMAGE=node:24-slim

FROM ${NODE_IMAGE} AS build
RUN install -d -o node -g node /build
WORKDIR /build
USER node
COPY --chown=node:node package.json package-lock.json ./
# Verifies the digests of the lockfile and runs no package scripts. Without devDependencies, because
# `npm ci` would request development packages of all platforms without installing them.
RUN npm pkg delete devDependencies && npm ci --ignore-scripts --no-audit --no-fund
USER root
COPY . .
RUN node tools/image.ts /image

FROM scratch
COPY --from=build /image /
# The image contains compiled code, for a fast start on a read-only root.
ENV NODE_COMPILE_CACHE=/app/cache/tallygate/compiled
# The reasons are in cli/run.ts.
ENV MALLOC_ARENA_MAX=1
ENV MALLOC_MMAP_THRESHOLD_=16384
ENV HOME=/app
USER 65532:65532
WORKDIR /app
ENTRYPOINT ["/usr/local/bin/node", "--max-semi-space-size=8", "/app/cli/main.ts"]
