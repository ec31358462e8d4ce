# Two commands do everything on a machine with Python 3.11+ and GNU make: make report, make test.
# Each makes .venv on its first run, installs the pinned versions of constraints.txt, and goes on.

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m ketameta
# How make check prints: text, json, or github (annotations of a pull request).
FORMAT ?= text

# What the report is computed from. Folders are listed too: removing a file changes its folder.
DATA := $(wildcard data data/* data/extracted/* data/extracted/*/* data/extracted/*/second/*)
ANALYSES := analyses $(wildcard analyses/*.toml)
CODE := $(shell find src/ketameta -name '*.py' -o -name '*.j2' -o -name '*.html' -o -name '*.css' -o -name '*.js' -o -name '*.typ')
# Packed into the ZIP of the report, so that they are part of what is published.
PACKED := Makefile pyproject.toml constraints.txt LICENSE CITATION.cff
# A missing page is a reason to build it, whatever the dates say.
MISSING := $(if $(wildcard reports/report.html),,missing)

.DEFAULT_GOAL := help
.PHONY: help release report forest check test lint verify new preview dictionary reference bench coverage agreement clean missing

help: ## Show this help (the default)
	@echo "ketameta: what is known about ketamine for ADHD, from extracted numbers to a report"
	@echo
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'
	@echo
	@echo "The first run of any of them makes .venv (one to two minutes); later runs do not."

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ketameta needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Say which one to use: make PYTHON=python3.12 report"; exit 1; }
	@echo "Making .venv and installing the versions of constraints.txt (once, one to two minutes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

report: build/report.stamp ## Build reports/report.html, results and figures from the CSVs
	@echo "reports/report.html is up to date."

build/report.stamp: $(VENV)/installed $(DATA) $(ANALYSES) $(CODE) $(PACKED) $(MISSING)
	@mkdir -p build
	@$(RUN) report
	@touch $@

forest: $(VENV)/installed ## Draw every forest plot (SVG and PNG) into reports/figures
	@$(RUN) report --only figures

check: $(VENV)/installed ## Check every extraction table; say everything that is wrong, at once
	@$(RUN) check --format $(FORMAT)

test: $(VENV)/installed ## Run every test, the type checker and the linter
	@$(BIN)/ruff check --no-cache src tests
	@$(BIN)/ruff format --no-cache --check --quiet src tests
	@$(BIN)/mypy --cache-dir=build/mypy
	@$(BIN)/python -m pytest -n auto

new: $(VENV)/installed ## Start a batch: make new STUDY=surname_year
	@test -n "$(STUDY)" || { echo "Say which trial: make new STUDY=surname_year"; exit 1; }
	@$(RUN) new "$(STUDY)"

preview: $(VENV)/installed ## Show what a batch changes, writing nothing: make preview BATCH=data/extracted/surname_year
	@test -n "$(BATCH)" || { echo "Say which batch: make preview BATCH=data/extracted/surname_year"; exit 1; }
	@$(RUN) preview "$(BATCH)"

release: $(VENV)/installed build/report.stamp ## Freeze the report: make release VERSION=1.0
	@test -n "$(VERSION)" || { echo "Say which version: make release VERSION=1.0"; exit 1; }
	@$(RUN) release $(VERSION)

verify: $(VENV)/installed ## Rebuild from the CSVs elsewhere and compare with what is published
	@$(RUN) verify

dictionary: $(VENV)/installed ## Write data/README.md and the empty templates from the schema
	@$(RUN) dictionary

reference: $(VENV)/installed ## Regenerate the pinned values (needs Rscript with metafor; never needed to test)
	@sh tests/reference/regenerate.sh

bench: $(VENV)/installed ## Time every kernel beside its peers, several rounds, and print the table
	@$(BIN)/python benchmarks/run.py

coverage: $(VENV)/installed ## Simulate the coverage of the intervals (seconds) and write docs/coverage.md
	@$(BIN)/python benchmarks/coverage_study.py

agreement: $(VENV)/installed ## Measure the distance from every stored reference (docs/agreement.md) and list what the data cannot answer
	@$(BIN)/python benchmarks/agreement.py
	@$(BIN)/python benchmarks/not_estimable.py

clean: ## Remove what was built locally (.venv and build); reports stay
	rm -rf $(VENV) build

missing:
