# The commands of the project; `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help run demo test check peers bench soak fuzz lock docs setup setup-dev clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | sort | expand -t 12

run: setup ## start the gateway (settings: --flags in ARGS, RINGBACK_* or .env)
	@exec $(BIN)/ringback serve $(ARGS)

demo: setup ## hear it work: a real call to the demo agent, in this terminal
	@exec $(BIN)/ringback demo $(ARGS)

test: setup-dev peers ## lint, types, import contracts and every test
	@exec sh tools/check.sh $(ARGS)

check: setup-dev ## what `make test` runs, without installing the peers first
	@exec sh tools/check.sh $(ARGS)

peers: ## install the programs that the interop tests call (Debian, root or sudo)
	@tools/peers.sh

bench: setup-dev ## measure: one table per claim
	@exec tools/bench.sh $(ARGS)

soak: setup-dev peers ## the long runs: calls at a rate, calls at once, and one for an hour
	@$(BIN)/python bench/sipp_calls.py --rate 50 --seconds 60
	@$(BIN)/python bench/whole_node.py --calls 100 --seconds 120
	@$(BIN)/python bench/long_call.py --seconds 3600

fuzz: setup-dev ## look for inputs that break a parser: RUNS for each target, SECONDS at most
	@nice $(BIN)/python fuzz/run.py --runs $(or $(RUNS),100000) --seconds $(or $(SECONDS),0) $(ARGS)

lock: setup-dev ## rewrite requirements/*.lock from pyproject.toml
	@exec tools/lock.sh $(ARGS)

docs: setup-dev ## rewrite what is generated: openapi.json, settings table, diagrams
	@exec tools/docs.sh

setup:
	@$(PYTHON) tools/setup.py run

setup-dev:
	@$(PYTHON) tools/setup.py dev

clean: ## remove the environment and caches, not ./data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
