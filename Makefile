# Everything runs from .venv, which is made on first use and renewed when pyproject.toml or constraints.txt change.

PYTHON ?= $(shell python3.11 --version >/dev/null 2>&1 && echo python3.11 || echo python3)
VENV := .venv/.installed
# Two tests, or two notebooks, at a time, a thread each: more threads than cores would wait for each other.
PYTEST := OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2
TESTS := $(PYTEST) --dist worksteal tests bfkit
# Code cells run in a kernel of their own, so the strict warning filter would only catch nbval's.
NBVAL := $(PYTEST) --dist loadfile --nbval-lax --nbval-current-env --nbval-cell-timeout=300 -W default
SLOW_LESSONS := notebooks/12_gallery.ipynb notebooks/15_families.ipynb

.PHONY: help reproduce book slides test slow-lessons test-all lint architecture findings lab clean

help:       ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "Linux without an NVIDIA GPU: a smaller torch comes with"
	@echo "  PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make test"

reproduce: $(VENV)  ## run the notebooks; figures and tables go to reports/
	.venv/bin/bfkit reproduce

book: $(VENV)       ## after reproduce: the lessons, glossary and reference as a book, reports/book/
	.venv/bin/python docs/book.py

slides: $(VENV)     ## after reproduce: its figures with their captions, to show in class, reports/slides.html
	.venv/bin/python docs/slides.py

test: $(VENV)       ## quick tests, then the notebooks but for the slow two
	$(TESTS)
	$(NBVAL) notebooks $(SLOW_LESSONS:%=--ignore=%)

slow-lessons: $(VENV)  ## those two
	$(NBVAL) $(SLOW_LESSONS)

test-all: $(VENV)   ## all tests, then every notebook
	$(TESTS) -m ""
	$(NBVAL) notebooks

lint: $(VENV)       ## check style, format, types, and that rooms import downwards only
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports
	.venv/bin/basedpyright

architecture: $(VENV)  ## draw docs/architecture.md from the imports
	.venv/bin/python docs/architecture.py

findings: $(VENV)   ## write what the report found into README.md
	.venv/bin/python docs/findings.py

lab: $(VENV)        ## open the notebooks in JupyterLab
	.venv/bin/jupyter lab notebooks

clean:      ## remove caches; .venv, build/ and reports/ stay
	rm -rf .pytest_cache .ruff_cache dist *.egg-info
	find . -name .venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

$(VENV): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "bfkit needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing bfkit and its dependencies into .venv: a few minutes, most of them for torch."
	@echo "The last step, 'Installing collected packages', prints nothing until it ends."
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@
