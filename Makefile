# `make demo` shows klimit at work; `make test` runs every check. Both build the environment they need in .venv/.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test bench docs linkcheck format clean

demo: .venv/core.stamp
	$(BIN)/klimit demo

test: .venv/test.stamp .venv/browser.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile

# Speed and memory as ratios to named rivals, each in one run, for a quiet machine.
bench: .venv/test.stamp
	$(BIN)/python benchmarks/speed.py --out benchmarks/speed.csv
	$(BIN)/python benchmarks/stream.py
	$(BIN)/python benchmarks/sampling_speed.py

# The site, in build/docs; needs no network. `make linkcheck` asks the web whether its external links still lead somewhere.
docs: .venv/docs.stamp
	rm -rf build/docs build/doctrees
	$(BIN)/sphinx-build -W -n --keep-going -q -d build/doctrees docs build/docs
	@echo "Open build/docs/index.html"

linkcheck: .venv/docs.stamp
	$(BIN)/sphinx-build -b linkcheck -q -d build/doctrees docs build/linkcheck

format: .venv/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "klimit needs Python 3.11 or newer; name one with: make PYTHON=python3.12 demo"; exit 1; }
	$(PYTHON) -m venv .venv
	touch $@

.venv/core.stamp: pyproject.toml .venv/python.stamp
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/test.stamp: pyproject.toml .venv/python.stamp
	# torch by name: a range would let another package choose a build of several GB
	$(BIN)/python -m pip install --quiet --editable '.[test,lm,ppo]' 'transformers[serving]' xllamacpp gguf torch==2.13.0
	touch $@ .venv/core.stamp

# The page is tested in Chromium: Debian's is installed where that may be done; elsewhere an installed one is used.
.venv/browser.stamp: .venv/python.stamp
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do command -v $$name && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; \
	else echo "No Chromium here: the tests of the page in a browser will be left out."; fi
	touch $@

.venv/docs.stamp: pyproject.toml .venv/python.stamp
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@ .venv/core.stamp

clean:
	rm -rf build .venv .mypy_cache .ruff_cache .pytest_cache
