# Two commands: `make run` and `make test`. Each sets up what it needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where Gemini's legacy driver is tested: its package does not go with the other requirements.
LEGACY := .venv-legacy

.PHONY: setup setup-dev run test test-alone test-chat test-program test-rest test-legacy sim check \
  lock clean

# How many histories `make sim` goes through.
SEEDS ?= 300

# What the program needs, from the lock; nothing is read from standard input.
setup: $(VENV)/.installed

setup-dev: $(VENV)/.installed-dev

$(VENV)/.installed: deploy/requirements.txt pyproject.toml deploy/setup.sh
	@PYTHON=$(PYTHON) sh deploy/setup.sh $(VENV) deploy/requirements.txt </dev/null
	@touch $@

$(VENV)/.installed-dev: deploy/requirements-dev.txt pyproject.toml deploy/setup.sh
	@PYTHON=$(PYTHON) sh deploy/setup.sh $(VENV) deploy/requirements-dev.txt </dev/null
	@touch $@ $(VENV)/.installed

$(LEGACY)/.installed: deploy/requirements-legacy.txt pyproject.toml deploy/setup.sh
	@PYTHON=$(PYTHON) sh deploy/setup.sh $(LEGACY) deploy/requirements-legacy.txt </dev/null
	@touch $@

run: setup
	@$(BIN)/countersign console

# What is timed has the machine for itself; then three processes side by side, about equally long:
# chats wait for local servers, with the backtests after them, the program waits for processes of its
# own, the rest mostly computes. A fourth, of a minute, is mostly the download of an environment; a
# fifth are the checks, most of them one core's half minute of types.
test: test-alone
	@$(MAKE) --no-print-directory -j5 check test-chat test-program test-rest test-legacy

test-alone: setup-dev
	@$(BIN)/python -m pytest -m alone tests/program

test-chat: setup-dev
	@$(BIN)/python -m pytest tests/chat tests/engine/backtest

test-program: setup-dev
	@$(BIN)/python -m pytest -m "not alone" tests/program

test-rest: setup-dev
	@$(BIN)/python -m pytest --ignore=tests/chat --ignore=tests/program \
	  --ignore=tests/engine/backtest

test-legacy: $(LEGACY)/.installed
	@$(LEGACY)/bin/python -m pytest tests/llm/test_drivers.py tests/llm/test_gemini_legacy.py

# Desks in virtual time on which everything goes wrong that can: `make sim SEEDS=2000`.
sim: setup-dev
	@$(BIN)/python -m tests.sim --seeds $(SEEDS)

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
	uv pip compile --group legacy-dev --universal --python-version 3.11 --no-strip-extras \
	  --generate-hashes --no-emit-index-url --no-header -q -o deploy/requirements-legacy.txt

clean:
	rm -rf $(VENV) $(LEGACY) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
