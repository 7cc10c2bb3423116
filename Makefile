# The whole of it: `make demo` runs the main job, `make test` checks everything but kills, faults and losses and other whole
# runs that take long, which are `make chaos`, and attacks that are repeated often, `make audit`. All of them set up what
# they need.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test chaos audit lint format gas benchmarks clean

setup: .venv/.installed hardhat-free-devnet/node_modules/.installed build/contracts.json

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with make PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

hardhat-free-devnet/node_modules/.installed: hardhat-free-devnet/package.json hardhat-free-devnet/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing; install Node.js 20 or newer"; exit 1; }
	cd hardhat-free-devnet && npm ci --no-audit --no-fund --loglevel=error
	touch $@

build/contracts.json: .venv/.installed hardhat-free-devnet/node_modules/.installed $(wildcard contracts/*.sol contracts/*/*.sol)
	$(BIN)/python -m domicile.chain.compile

demo: setup
	$(BIN)/domicile sandbox examples/private-diagnosis --curve 3

# More workers than cores: for a good part of the time tests wait for blocks.
test: setup lint
	$(BIN)/pytest -n 3 --dist worksteal --durations=10

chaos: setup
	$(BIN)/pytest -m chaos

audit: setup
	$(BIN)/pytest -m audit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint deploy/Containerfile
	cd hardhat-free-devnet && npm run --silent lint

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cd hardhat-free-devnet && npm run --silent format

gas: setup
	$(BIN)/python -m benchmarks.gas --write

benchmarks: setup
	$(BIN)/python -m benchmarks.gas
	$(BIN)/python -m benchmarks.payload
	$(BIN)/python -m benchmarks.round
	$(BIN)/python -m benchmarks.round --secure
	$(BIN)/python -m benchmarks.recovery
	$(BIN)/python -m benchmarks.robust
	$(BIN)/python -m benchmarks.poisoning
	$(BIN)/python -m benchmarks.secure_sum

clean:
	rm -rf .venv hardhat-free-devnet/node_modules build
