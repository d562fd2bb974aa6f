# Everything runs inside .venv, which the first target that needs it makes. Needed beforehand: make and Python 3.11 or newer.
#   make PYTHON=python3.12 test      another interpreter (only when .venv is made)
#   make test ARGS="-k merkle -x"    options for pytest
#   make campaign ARGS="--seed 7 --only power-cut"
#   make WORKERS=8 test          on more cores; a third worker on two cores works while others wait for servers

PYTHON  ?= python3
VENV    ?= .venv
WORKERS ?= 3
ARGS    ?=

BIN        := $(VENV)/bin
PIP        := $(BIN)/python -m pip --disable-pip-version-check
GENERATORS := $(wildcard tools/gen_*.py)

# A stamp is younger than pyproject.toml while what it stands for is installed. Both installs are editable, so that code may
# change without another install, and so that neither target leaves the other one running old code.
MADE       := $(VENV)/.made
DEMO_STAMP := $(VENV)/.installed-demo
DEV_STAMP  := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help venv demo test bench campaign check lint types imports generated format schemas clean distclean

help: ## show this list
	@echo "Targets:"
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'

venv: $(DEV_STAMP) ## make .venv with Muniment and everything for its development

demo: $(DEMO_STAMP) ## install what the demonstration needs and run it
	$(BIN)/python examples/demo.py $(ARGS)

test: $(DEV_STAMP) ## run the tests (on SQLite and on a PostgreSQL server that they start)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

bench: $(DEV_STAMP) ## measure speed beside bare stores (ARGS="--quick", "--only append", "--backend sqlite")
	$(BIN)/python -m benchmarks $(ARGS)

campaign: $(DEV_STAMP) ## inject every fault and try every attack at full size, and write the scorecard (some 90 minutes)
	$(BIN)/python -m tests.faults.campaign $(ARGS)

check: lint types imports generated ## run the gates, each also a target: lint, types, imports, generated

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV_STAMP)
	$(BIN)/mypy

imports: $(DEV_STAMP)
	$(BIN)/lint-imports --no-logo

generated: $(DEV_STAMP)
	@set -e; for generator in $(GENERATORS); do \
		echo "$(BIN)/python $$generator --check"; $(BIN)/python $$generator --check; done

format: $(DEV_STAMP) ## put the code into shape: what ruff can mend and format by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: $(DEV_STAMP) ## write the generated files again: schemas, vectors, references
	@set -e; for generator in $(GENERATORS); do \
		echo "$(BIN)/python $$generator"; $(BIN)/python $$generator; done

clean: ## remove what was built, cached or demonstrated
	rm -rf build dist demo-ledger .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	find . -name .git -prune -o -path ./$(VENV) -prune -o -type d -name __pycache__ -exec rm -rf {} +

distclean: clean ## the same, and remove .venv
	rm -rf $(VENV)

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Muniment needs Python 3.11 or newer, and '$(PYTHON)' is: $$($(PYTHON) --version 2>&1 || true)" >&2; \
		echo "Name another one:  make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make a virtual environment: its venv module is not complete." >&2; \
		echo "On Debian and Ubuntu install the package python3-venv, then try again." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(DEMO_STAMP): pyproject.toml | $(MADE)
	@echo "Installing Muniment and the demonstration's dependencies into $(VENV) ..."
	$(PIP) install --quiet --editable '.[demo]'
	@touch $@

# dev includes demo.
$(DEV_STAMP): pyproject.toml | $(MADE)
	@echo "Installing Muniment and its development dependencies into $(VENV) ..."
	$(PIP) install --quiet --editable '.[dev]'
	@touch $@ $(DEMO_STAMP)
