# `make help` lists the targets. People and CI use the same ones; each makes the environment first where it is missing.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

PYTHON ?= python3# which Python makes the environment: PYTHON=python3.12
PORT ?= 3000# of `make serve`, `make serve-starter` and `make ui`
MLFLOW_PORT ?= 5000# of `make mlflow`
PREFECT_PORT ?= 4200# of `make prefect`
FROM ?= # of `make starter`: the folder that holds the archives of Flickr8k; or `download`
WEIGHTS ?= # of `make starter`: the safetensors file of its encoder; or `preset`
COMMIT ?= # of `make starter`: to commit its params.yaml and data pointers, with this message

BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
# Telemetry off, and the tools' files in the project folder: src/captiongen/cli/environment.py holds the list.
ENVIRONMENT = eval "$$($(BIN)/captiongen env)"
CHOSEN_PYTHON = $(if $(filter-out file,$(origin PYTHON)),--python $(PYTHON))

# Stops in words when a port is taken: $(call need_port,PORT,VARIABLE)
define need_port
	@if (exec 3<>/dev/tcp/127.0.0.1/$(1)) 2>/dev/null; then \
	  echo "error: port $(1) is taken. Stop what listens there, or choose another: make $@ $(2)=$$(($(1) + 1))" >&2; exit 1; fi
endef

.PHONY: help venv run starter test test-slow check format serve serve-starter ui mlflow prefect doctor clean clean-all pins

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo; awk -F '#' '/^[A-Z_]+ \?= / {split($$1, a, " [?]= "); printf "  %s=%s %s\n", a[1], a[2], $$2}' $(MAKEFILE_LIST)

venv: ## make the environment, or do nothing where it stands
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not on PATH; install Python 3.11 or 3.12." >&2; exit 1; }
	@$(PYTHON) tools/bootstrap.py $(CHOSEN_PYTHON)

run: ## from nothing to a released captioner on the sample data
	@PYTHON=$(PYTHON) tools/run.sh $(CHOSEN_PYTHON)

# FROM, WEIGHTS and COMMIT reach the script through the environment, whatever characters they hold.
starter: ## train the captioner that comes with the repository anew, and put it in its place
	@PYTHON=$(PYTHON) tools/starter.sh $(CHOSEN_PYTHON)

test: venv ## all default tests
	@$(BIN)/pytest -m "not slow" -n 2 --dist loadscope --no-loadscope-reorder --durations 15

test-slow: venv ## the tests that take minutes
	@$(BIN)/pytest -m slow

check: venv ## format, lint, types, import rules, documentation
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/contract/test_documentation.py

format: venv ## format the code and mend what lint can mend
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

serve: venv ## serve the released captioner on 127.0.0.1
	@$(BIN)/captiongen serve --port $(PORT)

serve-starter: venv ## serve the captioner that comes with the repository, with no training
	@$(BIN)/captiongen serve starter --port $(PORT)

ui: venv ## serve the released captioner and open its web page
	@$(BIN)/captiongen serve --port $(PORT) --open

mlflow: venv ## look at runs, metrics and the registry
	$(call need_port,$(MLFLOW_PORT),MLFLOW_PORT)
	@$(ENVIRONMENT); case $$MLFLOW_TRACKING_URI in \
	  http*) echo "runs and registry are at $$MLFLOW_TRACKING_URI" ;; \
	  *) echo "runs: http://127.0.0.1:$(MLFLOW_PORT)/#/experiments   registry: http://127.0.0.1:$(MLFLOW_PORT)/#/models"; \
	     MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false exec $(BIN)/mlflow ui --workers 1 --host 127.0.0.1 \
	       --port $(MLFLOW_PORT) --backend-store-uri "$$MLFLOW_TRACKING_URI" ;; esac

prefect: venv ## Prefect server, worker and deployments on their schedules
	$(call need_port,$(PREFECT_PORT),PREFECT_PORT)
	@$(ENVIRONMENT) && exec $(BIN)/python -m flows.local --port $(PREFECT_PORT)

doctor: venv ## what is there, what is missing, how to mend it
	@$(BIN)/captiongen doctor

clean: ## remove what runs and tools wrote; DVC's cache brings it back at once
	@rm -rf corrections/proposals/audit.jsonl corrections/proposals/analysis.jsonl
	@rm -rf data/interim data/processed models/captioner reports build dist .coverage* .import_linter_cache
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find src flows tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} +
	@echo "kept: .venv, data/raw, DVC's cache, runs and registry (.captiongen), Bentos (.bentoml)"

clean-all: clean ## also the environment, the caches, the runs, the registry and the Bentos
	@rm -rf .venv .bentoml .dvc/cache .dvc/tmp
	@if [ -d .captiongen ]; then find .captiongen -mindepth 1 -maxdepth 1 ! -name feedback -exec rm -rf {} +; fi
	@echo "now removed as well, but for data/raw and what people reported (.captiongen/feedback)"

# CUDA's packages come with the ordinary torch and are absent with the CPU build, so they are nobody's pins.
pins: venv ## write requirements.txt anew from pyproject.toml, keeping the pins that still fit
	@cp requirements.txt .captiongen-pins.part
	@$(BIN)/uv pip compile -q pyproject.toml --extra dev --python-version 3.11 --no-annotate --no-header -o .captiongen-pins.part
	@{ echo "# The tested set, pinned: all that pyproject.toml asks for, development tools included. \`make pins\` writes it."; \
	  sed -E '/^(cuda-|triton|nvidia-(cu|nv|nccl))/d; s/\+cpu$$//' .captiongen-pins.part; } > requirements.txt
	@rm .captiongen-pins.part
	@git --no-pager diff --stat requirements.txt
