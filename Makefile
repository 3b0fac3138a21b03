# Every target does its own set-up (see .ci/setup.sh); a second call starts at once.

PYTHON := .venv/bin/python
# Real data sets that no test ships; tests that want them skip without.
REAL_DATA := $(or $(INSIGHTS_EVAL_DATA),$(realpath ../shared/data))
ifneq ($(REAL_DATA),)
export INSIGHTS_EVAL_DATA := $(REAL_DATA)
endif

.PHONY: help demo demo-reset demo-model picture test check bench bench-gpu soak bundle lock
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The demo's model: helpdesk, or smollm2, a general one that writes.
DEMO_MODEL ?= helpdesk

demo: ## A legacy helpdesk whose tickets get insights (DEMO_MODEL=smollm2: free text)
	@.ci/setup.sh demo "$(DEMO_MODEL)"
	@$(PYTHON) -m demo --model "$(DEMO_MODEL)"

demo-reset: ## Remove the demo's databases and state
	@.ci/setup.sh demo
	@$(PYTHON) -m demo --reset

demo-model: ## Train the demo's model again from nothing (hours on two cores, minutes on a GPU)
	@.ci/setup.sh demo
	@$(PYTHON) -m demo.model.make

picture: ## Take docs/status-page.png anew, of the demo's status page
	@.ci/setup.sh test
	@$(PYTHON) -m tests.picture

# Each worker has servers of its own; PYTEST=-n0 runs the tests in one process, for a debugger.
test: ## All tests, against real MariaDB and PostgreSQL servers
	@.ci/setup.sh test
	@$(PYTHON) -m pytest -n logical --maxprocesses 4 --dist worksteal $(PYTEST)

check: ## Lint, format, types, layers, links and house rules
	@.ci/setup.sh test
	@.ci/check

bench: ## Every benchmark, against its goals and its peers
	@.ci/setup.sh bench
	@$(PYTHON) -m benchmarks

bench-gpu: ## The inference engine's benchmark on this machine's GPU
	@.ci/setup.sh bench
	@$(PYTHON) -m benchmarks.engine --shape 8b

soak: ## 10,000 random polling histories; prints the seeds that failed
	@.ci/setup.sh test
	@$(PYTHON) -m pytest tests/conformance/test_polling_histories.py --soak --timeout 0 -s

bundle: ## One file to install from without network or compiler (MODEL=FILE takes a model along)
	@.ci/setup.sh demo
	@$(PYTHON) .ci/bundle.py

lock: ## Resolve requirements.lock and .ci/*.lock anew
	@.ci/lock.sh
