# Set-up, demo, tests, lint and benchmarks. Everything runs in .venv, built from pinned locks the first time: what a run
# needs from the image's lock, what developers need as well from requirements.lock.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
RUNTIME := deploy/docker/requirements.lock
LOCKS := requirements.lock $(RUNTIME)
# Modules are compiled once, not by every process; tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test docs lint dependencies pinned audit format bench soak sanitize lock changelog clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.venv/ready: $(RUNTIME) pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(f"Python 3.11 to 3.13 is needed, not {v[0]}.{v[1]}: set PYTHON=") if not (3, 11) <= v <= (3, 13) else None'
	$(PYTHON) -m venv --clear .venv
	$(PIP) --no-compile --require-hashes -r $(RUNTIME)
	$(BIN)/python -m compileall -q -j 0 -x '[/\\]tests?[/\\]' .venv/lib > /dev/null & $(PIP) --no-deps --no-build-isolation -e . && wait
	@touch $@

.venv/developer: requirements.lock .venv/ready
	$(PIP) --no-compile --require-hashes -r requirements.lock  # compiled where they are used: most never are
	@touch $@

demo: .venv/ready  ## Map the virtual region (made-up data): out/virtual/report.html
	$(BIN)/gelisol demo --out out/virtual

test: .venv/developer  ## Run the tests, file by file in three processes
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

NOTEBOOKS ?= force
docs: .venv/developer  ## Build the documentation, run its notebooks and check all links: build/site/index.html
	$(BIN)/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet -D nb_execution_mode=$(NOTEBOOKS) docs build/site
	$(BIN)/python docs/check_site.py build/site

lint: .venv/developer pinned  ## Check style, types and dependencies, without a network
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/gelisol/public_docstrings.py
	@$(MAKE) --no-print-directory dependencies
	$(BIN)/python -m pip --disable-pip-version-check check

dependencies:  # declared and used; deptry looks for extras in files only, ours are groups
	@mkdir -p build && grep -v '^dynamic = ' pyproject.toml > build/deptry.toml
	@$(BIN)/deptry --config build/deptry.toml .

pinned:
	@awk 'BEGIN { entry = "" } \
		function wrong(what) { print FILENAME ":" FNR ": " what; bad = 1 } \
		/:\/\// || /^-/ { wrong("names an address or an index") } \
		entry != "" && !/^ +--hash=sha256:/ { wrong(entry " is without a hash") } \
		{ entry = "" } \
		/^[A-Za-z0-9]/ { entry = $$1; if (!/^[^ =]+==[^ ]+ .*\\$$/) { wrong(entry " is not pinned, or without a hash"); entry = "" } } \
		END { exit bad }' $(LOCKS)

audit: .venv/developer  ## Ask PyPI for known vulnerabilities of the pinned packages (needs a network)
	$(BIN)/pip-audit --strict --require-hashes --disable-pip $(addprefix --requirement ,$(LOCKS))

format: .venv/developer  ## Put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/ready  ## Measure what the READMEs state (some 45 minutes)
	$(BIN)/python benchmarks/virtual.py
	$(BIN)/python benchmarks/forest.py
	$(BIN)/python benchmarks/cube.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/joining.py
	$(BIN)/python benchmarks/circumpolar.py --growth

sanitize: .venv/developer  ## Test the kernel under AddressSanitizer and UBSan (needs g++), then build it as it was
	CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all" LDFLAGS="-fsanitize=address,undefined" \
		$(BIN)/python setup.py --quiet build_ext --inplace --force
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 \
		$(BIN)/pytest tests/engine/forest tests/engine/mapping/test_predict_block.py; status=$$?; \
	$(BIN)/python setup.py --quiet build_ext --inplace --force && exit $$status

soak: .venv/ready  ## Map 10⁷ cells for 15 minutes while workers are killed at random
	$(BIN)/python benchmarks/soak.py

lock:  ## Pin the newest versions that fit pyproject.toml (needs uv on the PATH)
	uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --generate-hashes --no-header \
		--upgrade --group dev pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --generate-hashes --no-header \
		--group build --group all --constraint requirements.lock pyproject.toml -o $(RUNTIME)

changelog: .venv/developer  ## Put the fragments of changes/ into CHANGELOG.md: make changelog VERSION=0.2.0
	$(BIN)/towncrier build --yes --version $(VERSION)

clean:  ## Remove the environment and what the demo wrote
	rm -rf .venv out build *.egg-info
