# Two commands: `make run` and `make test`. Each sets up what it needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup setup-dev run test test-alone test-chat test-program test-rest check lock clean

# What the program needs, from the lock; nothing is read from standard input.
setup: $(VENV)/.installed

setup-dev: $(VENV)/.installed-dev

$(VENV)/.installed: deploy/requirements.txt pyproject.toml deploy/setup.sh
	@PYTHON=$(PYTHON) sh deploy/setup.sh $(VENV) deploy/requirements.txt </dev/null
	@touch $@

$(VENV)/.installed-dev: deploy/requirements-dev.txt pyproject.toml deploy/setup.sh
	@PYTHON=$(PYTHON) sh deploy/setup.sh $(VENV) deploy/requirements-dev.txt </dev/null
	@touch $@ $(VENV)/.installed

run: setup
	@$(BIN)/countersign console

# What is timed has the machine for itself; then three processes side by side, about equally long:
# chats wait for local servers, with the backtests after them, the program waits for processes of its
# own, the rest mostly computes.
test: check test-alone
	@$(MAKE) --no-print-directory -j3 test-chat test-program test-rest

test-alone: check
	@$(BIN)/python -m pytest -m alone tests/program

test-chat: setup-dev
	@$(BIN)/python -m pytest tests/chat tests/engine/backtest

test-program: setup-dev
	@$(BIN)/python -m pytest -m "not alone" tests/program

test-rest: setup-dev
	@$(BIN)/python -m pytest --ignore=tests/chat --ignore=tests/program \
	  --ignore=tests/engine/backtest

# Format, lint, strict types, the layer contract, the container files; the purity contract is
# tests/test_architecture.py. The schema of compose files is the one in the package: no network.
check: setup-dev
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml

# Locks with hashes and without an index address, from pyproject.toml (needs uv).
lock:
	uv pip compile pyproject.toml --group build --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header -q -o deploy/requirements.txt
	uv pip compile pyproject.toml --group dev --extra parquet --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header -q -o deploy/requirements-dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
