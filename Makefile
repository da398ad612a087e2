# Two commands matter: `make demo` and `make test`. Python 3.11 is enough.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test test-all fuzz browser bench chaos soak lint clean

demo: $(VENV)/.installed
	$(BIN)/python examples/demo.py

# Both backends. A file goes to one worker, so that what its tests share is made once.
# Tests longer than a minute are marked slow and left to test-all.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
test: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	KERAS_BACKEND=tensorflow $(PYTEST) -m "not slow"
	KERAS_BACKEND=jax $(PYTEST) -m "not slow"

test-all: $(VENV)/.installed-test
	KERAS_BACKEND=tensorflow $(PYTEST)
	KERAS_BACKEND=jax $(PYTEST)

# 10,000 inputs of the kind that a few are of in `make test`; minutes. FUZZ_SEED=1
# draws others.
FUZZ_OUTPUT ?= runs/fuzz.json
fuzz: $(VENV)/.installed-test
	mkdir -p $(dir $(FUZZ_OUTPUT))
	KERAS_BACKEND=tensorflow FUZZ_EXAMPLES=10000 FUZZ_REPORT=$(FUZZ_OUTPUT) \
		$(BIN)/python -m pytest tests/fuzz --durations=0

# Debian's Chromium for tests/reports/test_browser.py, which is skipped without it.
SUDO = $(if $(filter 0,$(shell id -u)),,sudo -n)
APT_GET = DEBIAN_FRONTEND=noninteractive apt-get -qq
browser:
	@if command -v chromium > /dev/null; then \
		echo "browser: $$(command -v chromium) is there"; \
	elif ! command -v apt-get > /dev/null; then \
		echo "browser: no chromium and no apt-get to install it; its tests are skipped"; \
	elif $(SUDO) env $(APT_GET) update > /dev/null 2>&1; \
		$(SUDO) env $(APT_GET) install -y --no-install-recommends chromium \
		> /dev/null 2>&1; then \
		echo "browser: installed $$(command -v chromium)"; \
	else \
		echo "browser: apt-get could not install chromium; its tests are skipped"; \
	fi

# Ratios, on a machine that does nothing else meanwhile. TORCH_PYTHON names a Python
# that has torch, whose ResNets then run beside ours.
BENCH_OUTPUT ?= runs/benchmarks
bench: $(VENV)/.installed-test
	KERAS_BACKEND=tensorflow $(BIN)/python benchmarks/aw_conv.py --output $(BENCH_OUTPUT)
	KERAS_BACKEND=jax $(BIN)/python benchmarks/aw_conv.py --output $(BENCH_OUTPUT)
	KERAS_BACKEND=tensorflow $(BIN)/python benchmarks/models.py --output $(BENCH_OUTPUT) \
		$(if $(TORCH_PYTHON),--torch $(TORCH_PYTHON))

# A hundred kills of training, search and tuning at random moments: half an hour. It can
# be stopped, and goes on.
CHAOS_OUTPUT ?= runs/chaos
chaos: $(VENV)/.installed-test
	$(BIN)/python benchmarks/chaos.py --kills 100 --out $(CHAOS_OUTPUT)

# Two hundred epochs in one process, whose memory is to stay as it is: a quarter of an hour.
SOAK_OUTPUT ?= runs/soak
soak: $(VENV)/.installed-test
	KERAS_BACKEND=tensorflow $(BIN)/python benchmarks/soak.py search --out $(SOAK_OUTPUT)
	KERAS_BACKEND=tensorflow $(BIN)/python benchmarks/soak.py train --out $(SOAK_OUTPUT)
	KERAS_BACKEND=jax $(BIN)/python benchmarks/soak.py train --out $(SOAK_OUTPUT)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(VENV)/.installed: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[data,logs]"
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[test]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info runs
