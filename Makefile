# Two commands do everything on a machine with Python 3.11+ and GNU make: make report, make test.
# Each makes .venv on its first run, installs the pinned versions of constraints.txt, and goes on.

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The code of this folder is run, wherever the environment was made.
export PYTHONPATH := $(CURDIR)/src
RUN := $(BIN)/python -m ketameta
# How make check prints: text, json, or github (annotations of a pull request).
FORMAT ?= text

# What is installed: the part of pyproject.toml that says so, and the pinned versions. It is compared
# with what was installed, so that a whole environment asks nothing of the network.
WANTED = { sed '/^\[tool/,$$d' pyproject.toml; cat constraints.txt; }
# The report is out of date when an input is newer than the last build (folders too: a file that is
# removed changes its folder), or when a published file is missing. The shell reads the names, so
# that any name will do.
STALE = test ! -e build/report.stamp || test ! -s build/published.txt \
	|| find data analyses reports/releases project.toml Makefile pyproject.toml constraints.txt LICENSE CITATION.cff \
	  -newer build/report.stamp 2>/dev/null | grep -q . \
	|| find src/ketameta -type f ! -name '*.pyc' -newer build/report.stamp | grep -q . \
	|| while IFS= read -r file; do test -f "$$file" || echo "$$file"; done < build/published.txt | grep -q .

.DEFAULT_GOAL := help
.PHONY: help environment release report forest check test test-fast verify new preview dictionary reference bench coverage agreement docs dist clean

help: ## Show this help (the default)
	@echo "ketameta: meta-analysis, and what is known about ketamine for ADHD"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'
	@echo
	@echo "The first run of any of them makes .venv (one to two minutes); later runs do not."

environment:
	@{ test -x $(BIN)/python && $(WANTED) | cmp -s - $(VENV)/installed; } 2>/dev/null || { \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ketameta needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Say which one to use: make PYTHON=python3.12 report"; exit 1; }; \
	  echo "Making .venv and installing the versions of constraints.txt (once, one to two minutes) ..."; \
	  if test -e $(VENV)/unfinished || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then rm -rf $(VENV); fi; \
	  mkdir -p $(VENV) && touch $(VENV)/unfinished; \
	  test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make .venv. On Debian and Ubuntu: sudo apt install python3-venv; then run make again."; exit 1; }; \
	  PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]' || { \
	    test ! -s $(VENV)/installed || rm -f $(VENV)/unfinished; \
	    echo "The packages could not be installed (see above); run make again when they can be had."; exit 1; }; \
	  $(WANTED) > $(VENV)/installed && rm -f $(VENV)/unfinished; }

report: environment ## Build reports/report.html, results and figures from the CSVs
	@if $(STALE); then mkdir -p build && touch build/report.begun && $(RUN) report && mv build/report.begun build/report.stamp; fi
	@echo "reports/report.html is up to date."

forest: environment ## Draw every figure as SVG, PNG and PDF into reports/figures
	@$(RUN) report --only figures

check: environment ## Check every extraction table; say everything that is wrong, at once
	@$(RUN) check --format $(FORMAT)

test: environment ## Run every test, the type checker and the linter
	@$(BIN)/python -m ruff check --no-cache src tests
	@$(BIN)/python -m ruff format --no-cache --check --quiet src tests
	@mkdir -p build; $(BIN)/python -m mypy --cache-dir=build/mypy > build/types.txt 2>&1 & types=$$!; \
	  $(BIN)/python -m pytest -n auto --dist worksteal; tests=$$?; \
	  wait $$types; types=$$?; cat build/types.txt; test $$types -eq 0 && exit $$tests

test-fast: environment ## Run the tests nearest to what changed since the last commit, half a minute
	@$(BIN)/python tests/fast.py $(CHANGED)

new: environment ## Start a batch: make new STUDY=surname_year
	@test -n "$(STUDY)" || { echo "Say which trial: make new STUDY=surname_year"; exit 1; }
	@$(RUN) new "$(STUDY)"

preview: environment ## Show what a batch changes, writing nothing: make preview BATCH=data/extracted/surname_year
	@test -n "$(BATCH)" || { echo "Say which batch: make preview BATCH=data/extracted/surname_year"; exit 1; }
	@$(RUN) preview "$(BATCH)"

release: report ## Freeze the report, with PNG, PDF and a ZIP to build it again: make release VERSION=1.0
	@test -n "$(VERSION)" || { echo "Say which version: make release VERSION=1.0"; exit 1; }
	@$(RUN) release "$(VERSION)"
	@$(RUN) report

verify: environment ## Rebuild report and releases from their inputs elsewhere; the same bytes are demanded
	@$(RUN) verify --exact

dictionary: environment ## Write data/README.md and the empty templates from the schema
	@$(RUN) dictionary

reference: environment ## Regenerate the pinned values (needs Rscript with metafor; never needed to test)
	@sh tests/reference/regenerate.sh

bench: environment ## Time every kernel beside its peers, several rounds, and print the table
	@$(BIN)/python benchmarks/run.py

coverage: environment ## Simulate the coverage of the intervals (seconds) and write docs/coverage.md
	@$(BIN)/python benchmarks/coverage_study.py

agreement: environment ## Measure the distance from every stored reference (docs/agreement.md) and list what the data cannot answer
	@$(BIN)/python benchmarks/agreement.py
	@$(BIN)/python benchmarks/not_estimable.py

docs: environment ## Build the guide into docs/_build: every example runs, every warning is an error
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@$(BIN)/python docs/generate.py
	@$(BIN)/python docs/draw_architecture.py
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@$(BIN)/python docs/check_links.py docs/_build/html
	@echo "Open docs/_build/html/index.html."

dist: environment ## Build wheel and sdist into dist/, and try the wheel in an empty environment
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dist]'
	@rm -rf dist && $(BIN)/python -m build --outdir dist
	@$(PYTHON) benchmarks/smoke.py dist/*.whl

clean: ## Remove what was built locally (.venv and build); reports stay
	rm -rf $(VENV) build
