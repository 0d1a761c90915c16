# Two commands: `make run` and `make test`. Everything is installed into .venv, from the pins in constraints.txt.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The first of these that is Python 3.11 or newer; `make run PYTHON=/path/to/python3.12` takes another.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$python; break; }; done)
INSTALLED := .venv/.installed
# Stages are called as `python -m …`: that has to be the one of .venv.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# No usage reports.
export DO_NOT_TRACK := 1

.PHONY: help install run test page serve clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

install: $(INSTALLED) ## only install, into .venv (then: . .venv/bin/activate)

run: $(INSTALLED) ## install, then bring everything up to date: data, models, report (`dvc repro`)
	@dvc repro
	@printf '\nDone.\n  tracker        %s\n  report         %s\n  overlay video  %s\n' \
		models/export/tracker.onnx reports/report.html reports/overlay.mp4

test: $(INSTALLED) ## install, then all tests and checks
	@ruff check
	@ruff format --check
	@pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

page: $(INSTALLED) ## reports/index.html: rounds, experiments and releases on one page, with the overlay video
	@python -m flows.page

serve: $(INSTALLED) ## Prefect's server, work pool and worker on this machine, until Ctrl-C (docs/prefect.md)
	@./flows/serve.sh

clean: ## remove .venv and caches; data, models and reports stay
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build strrn.egg-info
	find strrn flows tests -name __pycache__ -type d -prune -exec rm -rf {} +

# pip's own output goes to a log file: it is hundreds of lines, of which the last matter when it fails.
$(INSTALLED): pyproject.toml constraints.txt
	@[[ -n "$(PYTHON)" ]] || { echo "error: no Python 3.11 or newer found (python3 is $$(python3 --version 2>&1)). \
	Install one, or name one: make run PYTHON=/path/to/python3.12" >&2; exit 1; }
	@[[ -x .venv/bin/python ]] || { echo "creating .venv with $$($(PYTHON) --version)"; $(PYTHON) -m venv .venv; }
	@echo "installing the pinned packages into .venv (two to four minutes)"
	@.venv/bin/python -m pip install --progress-bar off -c constraints.txt -e '.[pipeline,dev]' 2>&1 | tee .venv/install.log | awk ' \
		/^ *Collecting/ && ++found % 25 == 0 { print "  " found " packages found"; fflush() } \
		/^Installing collected packages/ { print "  installing them"; fflush() }' \
		|| { tail -n 20 .venv/install.log >&2; echo "error: the installation failed; all of its output is in .venv/install.log" >&2; exit 1; }
	@touch $(INSTALLED)
