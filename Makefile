# Everything is set up by these targets: a machine needs Python 3.11 or newer, git and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SEED ?= 1
KILLS ?= 1000
MINUTES ?= 10
# More than cores: many tests wait for servers, time-outs and processes that they kill.
WORKERS ?= 3

.PHONY: demo test check bench chaos tree crash forks wheel clean

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[check]"
	@touch $@

demo: $(VENV)/.ready
	$(BIN)/python -m examples.oncall

# Providers' servers that tests run against, in homes of their own beside the environment.
$(VENV)/.servers: $(VENV)/.ready tests/model_servers.py tests/litellm_proxy.py
	cd tests && $(abspath $(BIN))/python -m model_servers && $(abspath $(BIN))/python -m litellm_proxy
	@touch $@

test: $(VENV)/.servers
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	cd tests && MYPYPATH=../src $(abspath $(BIN))/mypy --config-file ../pyproject.toml .
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(VENV)/.ready
	$(BIN)/python benchmarks/run.py

chaos: $(VENV)/.ready
	cd tests && $(abspath $(BIN))/python -m cluster --seed $(SEED) --minutes $(MINUTES)

tree: $(VENV)/.ready
	cd tests && $(abspath $(BIN))/python -m cluster.tree --seed $(SEED) --minutes $(MINUTES)

crash: $(VENV)/.ready
	cd tests && $(abspath $(BIN))/python -m crash --seed $(SEED) --kills $(KILLS)

forks: $(VENV)/.ready
	SEED=$(SEED) TREADLE_FORK_TEAMS=50 $(BIN)/python -m pytest -q -k random_cuts tests/gateways/test_forks_of_teams.py

wheel: $(VENV)/.ready
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
