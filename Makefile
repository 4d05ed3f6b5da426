# `make` lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
.DEFAULT_GOAL := help

##@ Use
.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: node_modules/.installed .tools/.installed ## Install Node 24, packages and Envoy

node_modules/.installed: package.json package-lock.json
	@tools/packages.sh
	@touch $@

.tools/.installed: tools/envoy.sh
	@echo 'Installing Envoy …'
	@tools/envoy.sh
	@touch $@

.tools/.python: tools/python.sh e2e/data-plane/testdata/python/requirements.txt
	@echo 'Installing the Python clients …'
	@if tools/python.sh; then touch $@; else echo 'Their tests are skipped'; fi

.PHONY: run
run: setup ## Run the gateway on this machine (FILES="a.yaml b.yaml"; default: the quickstart)
	@tallygate run $(FILES)

.PHONY: client
client: setup ## Run a program of examples/clients against the running gateway (NAME=openai or anthropic)
	@export OPENAI_BASE_URL=$${OPENAI_BASE_URL:-http://127.0.0.1:8080/v1} OPENAI_API_KEY=$${OPENAI_API_KEY:-unused}; \
	export ANTHROPIC_BASE_URL=$${ANTHROPIC_BASE_URL:-http://127.0.0.1:8080} ANTHROPIC_API_KEY=$${ANTHROPIC_API_KEY:-unused}; \
	exec node examples/clients/$(or $(NAME),openai).ts

##@ Develop
.PHONY: fmt
fmt: setup ## Format the code and apply the linter's fixes
	biome check --write .

.PHONY: generate
generate: setup ## Write the generated files: CRDs, reference pages, protobuf code
	node tools/skip-string.ts
	node tools/generate.ts
	cd protos && PATH="$(CURDIR)/node_modules/.bin:$$PATH" buf generate

.PHONY: catalog
catalog: setup ## Update the price lists of providers (read the diff)
	npm install --save-dev --save-exact @pydantic/genai-prices@latest
	node tools/catalog.ts

.PHONY: golden
golden: setup ## Rewrite the expected files of golden tests (read the diff)
	UPDATE_GOLDEN=1 node --test 'translate/**/golden.test.ts' 'extproc/**/golden.test.ts' 'cli/**/golden.test.ts'

.PHONY: check
check: setup ## Check format, lint, style, types, unused code, walls between rooms and generated files
	biome ci .
	tsc -p .
	tsc -p console/page
	knip
	node --test tools/walls.test.ts tools/style.test.ts
	$(MAKE) generate
	git diff --exit-code -- charts crds docs protos extproc/json/skip-string-code.ts

# Many tests wait rather than compute, so one more file runs than there are processors.
JOBS ?= $(shell expr $$(nproc) + 1)
test-unit e2e-data-plane: export NODE_COMPILE_CACHE ?= $(CURDIR)/.tools/compiled
UNIT = $(shell find . -path './.?*' -prune -o -path ./node_modules -prune -o -path ./e2e -prune -o -name '*.test.ts' ! -name '*.cluster.test.ts' -print)

.PHONY: test
test: test-unit e2e-data-plane ## Run all tests that need one machine: unit and data plane

.PHONY: test-unit
test-unit: setup ## Run the unit tests beside the code
	node --test --test-concurrency=$(JOBS) --test-timeout=120000 $(UNIT)

.PHONY: e2e-data-plane
e2e-data-plane: setup .tools/.python ## Run official clients through a real Envoy
	node --test --test-concurrency=$(shell nproc) --test-timeout=240000 'e2e/data-plane/*.test.ts'

.PHONY: e2e-collector
e2e-collector: setup ## Export to a real OpenTelemetry Collector, which Go builds first
	e2e/collector/build.sh
	tools/own-network.sh node --test --test-concurrency=1 --test-timeout=240000 'e2e/collector/*.test.ts'

.PHONY: e2e-cluster
e2e-cluster: setup ## Run the cluster tests (E2E_KUBECONFIG=FILE selects the cluster)
	e2e/cluster/run.sh $(FILES)

.PHONY: e2e-cluster-long
e2e-cluster-long: setup ## Run the cluster tests that take minutes; see bench/results/upgrades.md
	e2e/cluster/run.sh e2e/cluster/{rolling-long,swap,failover,api-server-away,living}.test.ts

.PHONY: image
image: ## Build the image tallygate:VERSION with Docker
	docker build -t tallygate:$$(sed -nE 's/^  "version": "(.*)",/\1/p' package.json) .

.PHONY: bench
bench: setup ## Measure Tallygate and Envoy alone, side by side; writes bench/results
	node bench/main.ts

.PHONY: bench-guardrails
bench-guardrails: setup ## Measure what guardrails cost through Envoy; writes bench/results/guardrails-gateway.md
	tools/own-network.sh node bench/main.ts --parts guardrails --page guardrails-gateway

.PHONY: bench-shared-store
bench-shared-store: setup ## Measure what sharing quotas in Redis costs; writes bench/results/shared-store.md
	tools/own-network.sh node bench/shared-store/main.ts

.PHONY: bench-conversion
bench-conversion: setup ## Measure what conversions and failovers cost; writes bench/results/conversion.md
	tools/own-network.sh node bench/conversion/main.ts

.PHONY: bench-telemetry
bench-telemetry: setup ## Measure what traces cost; writes bench/results/telemetry.md
	tools/own-network.sh node bench/telemetry/main.ts

.PHONY: compare-rate-limit
compare-rate-limit: setup ## Compare token budgets with Envoy's rate limit service (RATELIMIT=PROGRAM); writes bench/results/rate-limit.md
	tools/own-network.sh node bench/rate-limit/main.ts

.PHONY: soak
soak: setup ## Run hostile clients and providers for ten minutes; writes bench/results/hostile.md
	HOSTILE_SECONDS=600 HOSTILE_CLIENTS=1000 HOSTILE_REPORT=bench/results/hostile.md \
	  tools/own-network.sh node --test --test-timeout=1200000 e2e/data-plane/hostile-mix.test.ts

.PHONY: failover-soak
failover-soak: setup ## Fail over N (default: 10,000) requests of 1 KB to 25 MB; writes bench/results/failover-soak.md
	FAILOVER_REQUESTS=$(or $(N),10000) FAILOVER_REPORT=bench/results/failover-soak.md \
	  tools/own-network.sh node --test --test-timeout=3600000 e2e/data-plane/failover-soak.test.ts

.PHONY: failover-soak-cluster
failover-soak-cluster: setup ## Fail over N (default: 3,000) requests on a cluster; writes bench/results/failover-soak-cluster.md
	ATTEMPTS=$(or $(N),3000) ATTEMPTS_REPORT=$(CURDIR)/bench/results/failover-soak-cluster.md \
	  e2e/cluster/run.sh e2e/cluster/attempts.test.ts

.PHONY: exactness
exactness: setup ## Spend shared budgets while processors and the store are killed; writes bench/results/exactness.md
	SHARED_STREAMS=100 SHARED_ROUNDS=3 SHARED_REPORT=bench/results/exactness.md \
	  tools/own-network.sh node --test --test-timeout=1200000 e2e/data-plane/shared-budgets.test.ts

.PHONY: guardrails-bench
guardrails-bench: setup ## Measure the detectors of guardrails on public data sets; writes bench/results/guardrails.md
	tools/guardrails/data-sets.sh
	tools/own-network.sh tools/guardrails/leak-benchmark.sh
	node tools/guardrails/main.ts
	$(MAKE) generate

CASES ?= 1000000
# Without brackets: make would count them.
FUZZED = $(shell grep -rlwE 'fuzz|fuzzRuns' --include='*.test.ts' contract translate extproc)
.PHONY: fuzz
fuzz: setup ## Run CASES (default: a million) random cases; FUZZ_SEED repeats a run; writes bench/results/fuzz.md
	tools/own-network.sh node tools/fuzz/run.ts $(CASES) $(FUZZED)

STEPS ?= 1000000
.PHONY: simulate
simulate: setup ## Simulate STEPS (default: a million) of the shared quota store; writes bench/results/simulation.md
	# The short run has 20 cases of 300 steps, a share of 88,000 cases.
	FUZZ_CASES=$$(($(STEPS) * 88000 / 6000)) SIMULATION_REPORT=bench/results/simulation.md node --test extproc/quota/shared/simulation.test.ts

.PHONY: bench-controller
bench-controller: setup ## Measure the control plane on the cluster of KUBECONFIG, which must not have Tallygate
	node bench/controller.ts

.PHONY: clean
clean: ## Remove the files that setup installed
	rm -rf node_modules .tools
