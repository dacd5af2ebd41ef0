# `make report` and `make test` do the set-up themselves on a fresh machine: a virtual environment in .venv, or the
# interpreter named by PYTHON. Nothing is installed again while pyproject.toml has not changed.

.DEFAULT_GOAL := help
.PHONY: help setup report gpu-report test test-browser test-faults fuzz bench colab lab lint api clean

VENV := .venv
BASE_PYTHON ?= python3
EXTRAS := dev
FAULTS ?= short
API := $(addprefix hwkit.,experiment data models runs callbacks training parallel analysis plots explorer errors)

ifdef PYTHON
  PY := $(PYTHON)
  # In the environment itself: another environment of the same name is another installation.
  STAMP := $(shell $(PYTHON) -c 'import sys; print(sys.prefix)')/.hwkit-setup
else
  PY := $(VENV)/bin/python
  STAMP := $(VENV)/.setup
endif

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make report PROFILE=quick|full|seed|smoke   how long to train (default: full with a CUDA GPU, else quick)"
	@echo "  make report ARGS='-p seed=1'                further options of hwkit report"
	@echo "  make ... PYTHON=/path/to/python             use an environment of your own instead of .venv"

setup: $(STAMP)  ## install hwkit with all it needs

report: $(STAMP)  ## train, run the notebooks, write build/report.pdf
	$(PY) -m hwkit.cli report $(if $(PROFILE),--profile $(PROFILE)) $(ARGS)

gpu-report: $(STAMP)  ## on a machine with a GPU: its checks, benchmark and whole report, all in build/gpu
	$(PY) -c 'import torch, sys; sys.exit(0 if torch.cuda.is_available() else "there is no CUDA GPU here")'
	mkdir -p build/gpu
	$(PY) -m pytest tests/engine/test_graphs.py tests/engine/test_devices.py tests/test_training.py --junitxml build/gpu/tests.xml
	$(PY) -m hwkit.cli bench --device cuda --runs 8 --to-accuracy --seeds 5 --check-accuracy full --output build/gpu/bench.json
	$(PY) -m hwkit.bench.reports full --output build/gpu
	$(PY) -m hwkit.cli report --profile full -p seeds=5 --output build/gpu
	$(PY) -m hwkit.cli explore cifar10 --output build/gpu/explore.html

test: $(STAMP)  ## run the tests
	$(PY) -m pytest --numprocesses auto --dist loadfile $(ARGS)

test-faults: $(STAMP)  ## attack hwkit: kills, full disks, damage, fuzzing (FAULTS=full: as in docs/promises.md)
	HWKIT_FAULTS=$(FAULTS) $(PY) -m pytest -m faults tests/faults $(ARGS)

fuzz: $(STAMP)  ## feed the parsers millions of inputs (ARGS='--inputs 1000 YAML'; on Linux)
	$(PY) -m pip install --quiet --editable '.[$(EXTRAS),fuzz]'
	$(PY) tests/faults/fuzz.py $(ARGS)

bench: $(STAMP)  ## measure how fast training is on this machine
	$(PY) -m hwkit.cli bench $(ARGS)

test-browser: $(STAMP)  ## test the explorer in a real browser (needs a chromium)
	$(PY) -m pip install --quiet --editable '.[$(EXTRAS),browser]'
	npm install --silent --no-save --prefix tests/page axe-core@4 || echo "without axe-core: no npm"
	$(PY) -m pytest -m browser $(ARGS)

colab: $(STAMP)  ## build dist/hwkit-colab.zip, to upload to Colab or Drive
	rm -rf dist/colab dist/hwkit-colab.zip
	$(PY) -m pip wheel --quiet --no-deps --wheel-dir dist/colab .
	$(PY) -m zipfile -e dist/colab/*.whl dist/colab && rm dist/colab/*.whl
	$(PY) -m zipfile -c dist/hwkit-colab.zip dist/colab/* notebooks/*.ipynb
	rm -rf dist/colab build/lib build/bdist.*

lab: $(STAMP)  ## open the notebooks in JupyterLab
	$(PY) -m jupyter lab --ServerApp.ip=localhost --notebook-dir=notebooks $(ARGS)

lint: $(STAMP)  ## check style, imports and types of the code
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	@if command -v node >/dev/null; then for module in hwkit/explorer/page/*.js; do node --check $$module || exit 1; done; fi
	$(PY) -c 'import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())'
	$(PY) -m pyright --pythonpath $(PY)

api: $(STAMP)  ## build build/api, the reference of the library from its docstrings
	$(PY) -W error::UserWarning -m pdoc --docformat numpy --output-directory build/api $(API)

clean:  ## delete what was built; runs, data and .venv stay
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

ifdef PYTHON
$(STAMP): pyproject.toml
	$(PY) -m pip install --quiet --editable '.[$(EXTRAS)]'
	@touch $@
else
$(STAMP): pyproject.toml
	@$(BASE_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "hwkit needs Python 3.11 or newer; name one with BASE_PYTHON=/path/to/python3"; exit 1; }
	test -x $(PY) || $(BASE_PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --editable '.[$(EXTRAS)]'
	@touch $@
endif
