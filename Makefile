# The same six verbs for people and for continuous integration.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_WORKERS ?= 2
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check docs bench real-model real-servers clean

demo: $(VENV)/local ## distil the bundled teacher into the bundled student
	$(BIN)/potstill demo

test: $(VENV)/dev ## every test, the slow ones too, by PYTEST_WORKERS processes (0: by one)
	$(BIN)/python -m pytest --numprocesses $(PYTEST_WORKERS) --dist worksteal

check: $(VENV)/dev ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/dev ## the docs as a site in the folder site; nothing is fetched, a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(VENV)/bench ## the figures under benchmarks/results
	$(BIN)/python benchmarks/store.py --json benchmarks/results/store.json
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/local_generation.py
	$(BIN)/python benchmarks/local_few_shot.py
	$(BIN)/for case in zero_shot in_context single; do $(BIN)/python benchmarks/training.py --only $$case --json benchmarks/results/training-$$case.json || exit 1; done
	$(BIN)/python benchmarks/distillation_loss.py --json benchmarks/results/distillation_loss.json
	$(BIN)/python benchmarks/alignment.py --json benchmarks/results/alignment.json
	$(BIN)/python benchmarks/grading.py --write
	$(BIN)/python benchmarks/grading_unseen.py
	$(BIN)/python benchmarks/serving.py --json benchmarks/results/serving.json
	$(BIN)/python benchmarks/large_run.py --json benchmarks/results/large_run.json
	$(BIN)/python benchmarks/clients.py --write
	$(BIN)/python benchmarks/grading_speed.py --json benchmarks/results/grading_speed.json

MODEL ?= models/SmolLM2-135M-Instruct

real-model: $(VENV)/local ## SmolLM2-135M-Instruct in the folder MODEL, which the recipes in recipes/real start from
	$(BIN)/python scripts/real_model.py $(MODEL)

SERVERS ?= .servers

real-servers: $(VENV)/dev ## vLLM, llama.cpp and transformers serve as teacher and student; brings 8 GB into SERVERS
	PYTHON=$(abspath $(BIN))/python scripts/get_real_servers.sh $(SERVERS)
	$(BIN)/python scripts/real_servers.py $(SERVERS)

clean: ## everything that was made, the runs left alone
	rm -rf $(VENV) dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/local: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[local]'
	@touch $@

$(VENV)/dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/local

$(VENV)/bench: $(VENV)/dev
	$(PIP) --editable '.[bench]'
	@touch $@
