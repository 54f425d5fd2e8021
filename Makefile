PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test fuzz check generate lock bench clean

help: ## list these tasks
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

run: .venv/installed ## start the daemon on a made-up gateway's log; Ctrl-C ends it
	@$(BIN)/llm-gateway-exporter demo --dir .run --web.listen-address 127.0.0.1:9478

test: .venv/installed-dev ## install what the tests need, then run them all
	@scripts/install-tools
	$(BIN)/pytest

fuzz: .venv/installed-dev ## feed anything to all that reads, for hours; the tests do so for seconds
	$(BIN)/pytest tests/fuzz --hypothesis-profile=long --timeout=0

check: .venv/installed-dev ## lint, format and types, without changing a file
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

generate: .venv/installed-dev ## write what is made from code: dashboards, rules, chart, tables of docs/
	@$(BIN)/python scripts/write-metrics-page
	@$(BIN)/python scripts/write-reliability-page
	@$(BIN)/llm-gateway-exporter dashboards build --out . --attribute team
	@$(BIN)/llm-gateway-exporter alerts build
	@$(BIN)/python scripts/write-chart
	@$(BIN)/python -m tests.helm.chart

lock: .venv/installed-dev ## pin what the image is made of, for every platform
	@scripts/lock

bench: .venv/installed-dev ## measure, and write benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

clean: ## remove what the other tasks made
	rm -rf .venv .run dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/pip:
	@PYTHON=$(PYTHON) scripts/create-venv

.venv/installed: pyproject.toml | $(BIN)/pip
	@echo "Installing into .venv; this happens once"
	@$(PIP) install --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	@$(PIP) install --upgrade pip # Dependency groups need pip 25.1; Debian 12 has 23.0.
	@$(PIP) install --group dev
	@touch $@
