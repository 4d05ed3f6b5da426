# `make` alone lists the verbs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
.DEFAULT_GOAL := help

##@ Use
.PHONY: help
help: ## List the verbs
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: node_modules/.installed .tools/bin/envoy ## Install what the project needs: Node 24, packages, Envoy

node_modules/.installed: package.json package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

.tools/bin/envoy: tools/envoy.sh
	tools/envoy.sh
	@touch -h $@

.PHONY: run
run: setup ## Run the gateway on this machine (FILES="a.yaml b.yaml"; without: the quickstart)
	tallygate run $(FILES)

##@ Develop
.PHONY: fmt
fmt: setup ## Format, and fix what the linter can fix
	biome check --write .
