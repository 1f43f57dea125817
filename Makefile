# `make demo` and `make test` do everything from a fresh clone; both need only python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Large pages for malloc on Linux: XLA's buffers on CPU otherwise cost a page fault every 4 KiB.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

# Of `make gpu` and its like, which install nothing: they take the Python that is there, with its JAX for CUDA.
RESULTS ?= runs/gpu

.PHONY: help setup demo test test-all types lint numbers docs bench bench-peers gpu gpu-train gpu-quick chaos clean

help:
	@echo "make demo    compare the families on scikit-learn's digits: one table, one page, in a few minutes"
	@echo "make test    the tests, a few minutes on two cores"
	@echo "make test-all  all of them, with every algorithm in every layout: half an hour, and the coverage"
	@echo "make lint    ruff"
	@echo "make types   pyright, basic, on the contract, configs, training and metrics"
	@echo "make numbers figures of the Markdown against their entries in experiments/results"
	@echo "make docs    the pages of docs/ with the reference, as site/index.html; a broken link is an error"
	@echo "make bench   speed beside PyTorch (installs it); bench-peers: beside two public repositories"
	@echo "make gpu     one GPU: contract, resume, speed beside PyTorch, XLA's flags, 8 minutes; PYTHON=python3 as it is"
	@echo "make gpu-train  a flow trained for three minutes, StyleGAN2's steps; gpu-quick: does all of it run, on a CPU"
	@echo "make chaos   runs killed, starved and damaged 50 times must end in the same bits, about 12 minutes"

# The stamp is newer than the requirements only after a complete install, so an interrupted one starts again.
$(VENV)/installed: requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11: run make PYTHON=python3.12" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

setup: $(VENV)/installed

demo: setup
	$(BIN)/python -m experiments.compare

# One algorithm of each family, two of them in every layout, and what takes no more than seconds.
test: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not alone and not all" --durations=20
	$(BIN)/python -m pytest tests/machine -m "alone and not all"

# Every algorithm, every config, every finding; and what no test reaches. With COVER= without that: coverage's tracing
# and the threads that save checkpoints collide now and then on Python 3.11.
COVER ?= --cov=genjax --cov-report=term:skip-covered
test-all: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not alone" --durations=20 $(COVER)
	$(BIN)/python -m pytest tests/machine -m alone

# Pyright fetches itself by npm: not among the requirements.
types: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pyright[nodejs]"
	$(BIN)/python -m pyright

lint: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

numbers: setup
	$(BIN)/python -m experiments.numbers

# Reads and writes no address: what is built is read without a network too.
docs: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	$(BIN)/python -m sphinx -q -W --keep-going -b html -d build/doctrees docs site
	@echo "site/index.html"

bench: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks

# Where they cannot be installed the rows are left out, with the reason.
bench-peers: setup
	test -x $(VENV)-peers/bin/python || $(PYTHON) -m venv $(VENV)-peers
	-$(VENV)-peers/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers.txt
	$(BIN)/python -m benchmarks.peers --peer-python $(VENV)-peers/bin/python

gpu:
	$(PYTHON) -m benchmarks.gpu --results $(RESULTS)

gpu-train:
	$(PYTHON) -m benchmarks.gpu --train --results $(RESULTS)

gpu-quick:
	$(PYTHON) -m benchmarks.gpu --quick --results $(RESULTS)

chaos: setup
	$(BIN)/python -m tests.chaos

clean:
	rm -rf $(VENV) $(VENV)-peers .pytest_cache .ruff_cache build site
