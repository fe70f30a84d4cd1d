# Few verbs: demo, test, lint, types, format, bench, clean. Python >= 3.11 is all they need; everything else goes into .venv.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python3.14; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
BIN = $(VENV)/bin
# recorded answers of a real API server, kept beside the project
TRANSCRIPTS ?= ../shared/transcripts

.PHONY: demo test lint types format bench transcripts clean install install-dev

$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "minikube-py needs Python 3.11 or newer (set PYTHON=...)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "could not make a virtual environment: on Debian and Ubuntu, apt install python3-venv" >&2; rm -rf $(VENV); exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

demo: $(VENV)/.installed
	@MINICTL=$(BIN)/minictl PYTHON=$(BIN)/python sh examples/demo.sh

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(TESTS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed-dev
	$(BIN)/pyrefly check

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev
	$(BIN)/python -m bench.start

transcripts: $(VENV)/.installed-dev
	$(BIN)/python -m tests.transcripts.ratchet $(TRANSCRIPTS)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .cache
