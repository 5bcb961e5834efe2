# The only interface: `make setup` once (every target does it itself), then check, test, demo.

# A pyenv shim named python3.13 may exist without a Python behind it, so each candidate is run before it is believed.
PYTHON := $(shell for python in python3.13 $$HOME/.pyenv/versions/3.13*/bin/python3.13; do \
	$$python -c '' 2>/dev/null && command -v $$python && break; done)

# `sam build` looks for a python3.13 on PATH.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0
# Hundreds of processes read this project's modules; each would compile them again.
unexport PYTHONDONTWRITEBYTECODE

SOURCES := $(wildcard functions rotatorctl tests)
LOCK := CUSTOM_COMPILE_COMMAND='make lock' pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.PHONY: setup check test demo faults bench mutants smoke-aws lock clean

setup: .venv/.installed .venv-sam/.installed .venv-emulator/.installed .venv-mongo/.installed

.venv/.installed: requirements/dev.txt
	$(call install,.venv,$<)
	@ln -sf ../../.venv-sam/bin/sam .venv/bin/sam

.venv-sam/.installed: requirements/sam.txt
	$(call install,.venv-sam,$<)

.venv-emulator/.installed: requirements/emulator.txt
	$(call install,.venv-emulator,$<)

.venv-mongo/.installed: requirements/mongo.txt
	$(call install,.venv-mongo,$<)

.venv-mutants/.installed: requirements/mutants.txt
	$(call install,.venv-mutants,$<)

.venv-scan/.installed: requirements/scan.txt
	$(call install,.venv-scan,$<)

define install
	@test -n '$(PYTHON)' || { echo 'Python 3.13 is needed: no python3.13 on PATH or under ~/.pyenv/versions' >&2; exit 1; }
	$(PYTHON) -m venv --clear $(1)
	$(1)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r $(2)
	@touch $@
endef

# The scanner asks no server: --skip-download leaves out its links, the variable its look for a newer release.
check: .venv/.installed .venv-sam/.installed .venv-scan/.installed
	ruff format --check $(SOURCES)
	ruff check $(SOURCES)
	mypy functions/rotation functions/*.py rotatorctl tests
	sam validate --lint --region us-east-1
	cfn-lint --include-checks I -- template.yaml monitoring.yaml
	python -m tests.statemachine.validate
	CKV_SKIP_PACKAGE_UPDATE_CHECK=true .venv-scan/bin/checkov --framework cloudformation --file template.yaml monitoring.yaml \
		--skip-download --quiet --compact

# Tests of one group share a server or a deployed stack, and so a process. They wait about as long as they work.
test: setup
	pytest --numprocesses 5 --dist loadgroup --no-loadscope-reorder

demo: .venv/.installed .venv-sam/.installed .venv-emulator/.installed
	PYTHONPATH=functions:. python -m rotatorctl.local.demo

# Every kind of fault at every edge of a rotation, for every engine with every strategy: a quarter of an hour on two quick
# cores, half an hour on slow ones.
faults: setup
	PYTHONPATH=functions:. python -m tests.faults.report

# How long applications are refused, how long a rotation takes, what it calls and costs: ten minutes on two cores without other work.
bench: setup
	PYTHONPATH=functions:. python -m tests.bench

# Changes of the functions' code that no test sees: make mutants, make mutants MODULES="secret settings", make mutants MODULES=--unit.
mutants: setup .venv-mutants/.installed
	PYTHONPATH=functions:. python -m tests.mutants.run $(MODULES)

# On a real account, in which it makes things that cost money: says what, and does it if SMOKE_ACCOUNT is that account's number.
# Read tests/smoke/aws.py before.
smoke-aws: .venv/.installed .venv-sam/.installed
	@python -m tests.smoke.aws $(SMOKE_ACCOUNT)

# The functions' lock first: the next ones are resolved so that they agree with it.
lock: .venv/.installed
	$(LOCK) $(UPGRADE) -o functions/requirements.txt requirements/functions.in
	$(LOCK) $(UPGRADE) -o requirements/dev.txt requirements/dev.in
	$(LOCK) $(UPGRADE) -o requirements/sam.txt requirements/sam.in
	$(LOCK) $(UPGRADE) -o requirements/emulator.txt requirements/emulator.in
	$(LOCK) $(UPGRADE) -o requirements/mongo.txt requirements/mongo.in
	$(LOCK) $(UPGRADE) -o requirements/mutants.txt requirements/mutants.in
	$(LOCK) $(UPGRADE) -o requirements/scan.txt requirements/scan.in

clean:
	rm -rf .venv .venv-sam .venv-emulator .venv-mongo .venv-mutants .venv-scan .aws-sam .mypy_cache .pytest_cache .ruff_cache .hypothesis
