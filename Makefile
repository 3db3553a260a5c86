# For newcomers: `make demo` runs real jobs, `make test` passes the tests.
# For who tries to break it: `make chaos SEED=123 SECONDS=60 WORKERS=4` has workers killed at random
# (with DATABASE=postgresql the database's server too),
# `make fuzz EXAMPLES=20000 SEED=1` feeds in what is hostile. The same seed does the same again.
# For who asks how fast it is: `make bench` measures it beside other job queues.
# For who changes a command: `make docs` writes man/ and completions/ anew, `make readme` the README's sessions.
# For who releases: `make release-check` tries the wheel alone in an empty environment of each Python.
# Each makes its own virtual environment first.

PYTHON ?= python3
DEMO = demo
SECONDS = 60
# One more than there are processors, since the tests wait for something a quarter of the time.
TEST_PROCESSES := $(shell echo $$(($$(nproc || echo 1) + 1)))
WORKERS = 4
DATABASE = sqlite
DEMO_ENV = env -u DATABASE_URL -u COMPUTE_STORAGE_DIR CL_SERVER_DIR=$(DEMO)/server BROADCAST_TYPE=noop

EXAMPLES = 2000
ifndef SEED
SEED := $(shell date +%s)
endif

.PHONY: demo test docs readme chaos fuzz bench release-check clean

demo: .venv/ready
	rm -rf $(DEMO) && mkdir $(DEMO)
	.venv/bin/python examples/sample_photo.py $(DEMO)/photo.jpg
	$(DEMO_ENV) .venv/bin/clworker jobs submit image_resize $(DEMO)/photo.jpg -p width=800 -p height=600 --output-dir $(DEMO)/server/compute/pictures
	$(DEMO_ENV) .venv/bin/clworker jobs submit image_conversion $(DEMO)/photo.jpg -p format=webp --output-dir $(DEMO)/server/compute/pictures
	$(DEMO_ENV) .venv/bin/clworker --log-format console once
	$(DEMO_ENV) .venv/bin/clworker --log-format console once
	$(DEMO_ENV) .venv/bin/clworker jobs
	@echo && echo "The pictures are in $(DEMO)/server/compute/pictures:" && ls -l $(DEMO)/server/compute/pictures

test: .venv-test/ready
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/mypy
	.venv-test/bin/lint-imports
	.venv-test/bin/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

docs: .venv-test/ready
	.venv-test/bin/python -m tools.docs

readme: .venv-test/ready
	.venv-test/bin/python -m tools.console
	.venv-test/bin/python -m tools.screenshot

release-check: .venv-test/ready
	.venv-test/bin/python -m tools.release_check

chaos: .venv-test/ready
	.venv-test/bin/python -m tests.chaos --seed $(SEED) --seconds $(SECONDS) --workers $(WORKERS) --database $(DATABASE)

fuzz: .venv-test/ready
	@echo "To see the same again: make fuzz EXAMPLES=$(EXAMPLES) SEED=$(SEED)"
	FUZZ_EXAMPLES=$(EXAMPLES) .venv-test/bin/python -m pytest tests/fuzz --hypothesis-seed=$(SEED) --numprocesses 2

bench: .venv-bench/ready
	.venv-bench/bin/python -m benchmarks $(BENCH)

.venv/ready: pyproject.toml
	$(call make_venv,.venv)
	.venv/bin/python -m pip install --quiet --editable .
	touch $@

.venv-test/ready: pyproject.toml
	$(call make_venv,.venv-test)
	.venv-test/bin/python -m pip install --quiet --no-compile --editable '.[test]'
	touch $@

.venv-bench/ready: pyproject.toml
	$(call make_venv,.venv-bench)
	.venv-bench/bin/python -m pip install --quiet --editable '.[bench]'
	touch $@

define make_venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "clworker needs Python 3.11 or newer; say which with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "this Python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv --clear $(1)
endef

clean:
	rm -rf .venv .venv-test .venv-bench bench-results $(DEMO)
