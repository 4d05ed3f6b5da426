# One image for all verbs: Node, the program, nothing else. Another Node: --build-arg NODE_IMAGE=…
ARG NODE_IMAGE=node:24-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm install --omit=dev --no-save --no-audit --no-fund
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
