# `make demo` and `make test` are all that a fresh machine needs, besides Python 3.11 or newer and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Whose modules ours are run beside. Without their dependencies: depth-anything-3 asks for numpy < 2, xformers and open3d,
# open_clip_torch for torchvision and timm; its tokenizer needs ftfy, and that wcwidth.
ORIGINALS := depth-anything-3 einops omegaconf addict open_clip_torch ftfy wcwidth
# The real clients, and what importing them needs: runpod asks for a server's worth more, botocore for an older dateutil.
CLIENTS := boto3 botocore jmespath s3transfer runpod paramiko cryptography cffi bcrypt PyNaCl tomli tomlkit backoff tqdm-loggable py-cpuinfo aiohttp-retry

.PHONY: demo test parity lint accuracy bench completions sample-data clean

demo: $(VENV)/.runtime
	$(BIN)/python sample_data/demo.py

test: $(VENV)/.tests  ## two at a time: about one gibibyte each, two and a half for the models at their real sizes
	$(BIN)/python -m pytest -n 2 --dist loadfile

parity: $(VENV)/.tests  ## ours beside transformers' and the original modules, random weights at real sizes
	$(BIN)/python -m pytest tests/models

lint: $(VENV)/.tests
	$(BIN)/ruff format --check visioncli tests sample_data
	$(BIN)/ruff check visioncli tests sample_data
	$(BIN)/mypy

accuracy: $(VENV)/.runtime  ## the bundled models on scenes that they never saw; all but the first took 18 minutes on two busy cores; no part of CI
	$(BIN)/python sample_data/recipes/accuracy.py
	$(BIN)/python sample_data/recipes/accuracy_dinov3.py
	$(BIN)/python sample_data/recipes/grounding_accuracy.py
	$(BIN)/python sample_data/recipes/accuracy_sam3.py
	$(BIN)/python sample_data/recipes/accuracy_depth.py

bench: $(VENV)/.tests  ## every figure that README gives, measured here
	$(BIN)/python -m tests.benchmarks

completions: $(VENV)/.tests
	$(BIN)/python -m tests.completions

sample-data: $(VENV)/.runtime  ## train the bundled model and draw the sample scenes again (about half an hour)
	$(BIN)/python sample_data/recipes/build.py

$(VENV)/.runtime: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.tests: $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps --ignore-requires-python $(ORIGINALS) $(CLIENTS)
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
