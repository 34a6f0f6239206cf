# demo, test and check each make what they need: a .venv, once, on any machine with Python 3.12 or newer.
.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.14; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INSTALL := -m pip install --quiet --disable-pip-version-check
CONSTRAINTS := rules/packaging/constraints.txt
# Old versions warn: typer of the newest click, mitmproxy's test helpers of event loops that they leave open.
LOWEST_WARNINGS := -W ignore::DeprecationWarning -W ignore::ResourceWarning -W ignore::pytest.PytestUnraisableExceptionWarning
# A test that hangs ends its process, and fails by its name, instead of the whole run's time limit.
NO_HANGS := -o faulthandler_timeout=300 -o faulthandler_exit_on_timeout=true
QUICK_TESTS := $(NO_HANGS) -n auto -m "not process and not measures" --hypothesis-profile quick

.PHONY: help demo test quick oldest lowest wheel constraints reliability reliability-fleet restarts agreement corpora hints canary-table bench bench-fleet bench-audit profile cost picture check format clean

help: ## what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 19

demo: $(READY) ## a click before and after, on this machine
	@$(BIN)/storehop demo

test: $(READY) ## the whole test suite, against real processes on loopback
	$(BIN)/python -m pytest $(NO_HANGS) -n auto --dist loadfile

quick: $(READY) ## all tests that start no process and measure no time: about a minute
	$(BIN)/python -m pytest $(QUICK_TESTS)

oldest: ## as quick, by Python 3.12, the oldest that storehop runs on
	@python=$$(for p in python3.12 "$$(pyenv root 2>/dev/null)"/versions/3.12*/bin/python; do \
	  $$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null && echo $$p && break; done); \
	if [ -n "$$python" ]; then $(MAKE) --no-print-directory quick VENV=.venv/oldest PYTHON=$$python; \
	elif [ "$$CI" = true ]; then echo "oldest: no Python 3.12 was found; CI has to have it" >&2; exit 1; \
	else echo "oldest: skipped, no Python 3.12 was found"; fi

lowest: $(READY) ## as quick, with the lowest versions of the dependencies that pyproject.toml declares
	$(BIN)/python .ci/lowest.py > .venv/lowest.txt
	$(BIN)/python -m venv .venv/lowest
	.venv/lowest/bin/python $(INSTALL) --editable '.[dev]' --constraint .venv/lowest.txt
	.venv/lowest/bin/python -m pytest $(QUICK_TESTS) $(LOWEST_WARNINGS) --ignore tests/packaging/test_constraints.py

wheel: $(READY) ## the built wheel works in an empty environment, without and with its extra
	rm -rf .venv/dist
	$(BIN)/python -m hatchling build --target wheel --directory .venv/dist
	$(BIN)/python -m venv --clear .venv/wheel
	for wheel in .venv/dist/*.whl; do for extra in '' '[redis]'; do \
	  .venv/wheel/bin/python $(INSTALL) "$$wheel$$extra" --constraint $(CONSTRAINTS) && \
	  (cd / && $(abspath .ci/wheel) $(abspath .venv/wheel/bin)) || exit 1; done; done

constraints: $(READY) ## the newest versions of what storehop needs become those that are tested; then make test
	$(BIN)/python -m venv --clear .venv/newest
	.venv/newest/bin/python $(INSTALL) '.[redis]'
	$(BIN)/python .ci/constraints.py .venv/newest/bin/python > .venv/constraints.txt
	mv .venv/constraints.txt $(CONSTRAINTS)

reliability: $(READY) ## the reliability table of tests/e2e/README.md, at the default settings: a quarter of an hour
	@STOREHOP_LONG=1 $(BIN)/python -m pytest -q -s tests/e2e/test_kill.py tests/e2e/test_shared_outbox.py \
	  tests/e2e/test_rough_weather.py tests/e2e/test_rough_outbox.py tests/e2e/test_outage.py \
	  > .venv/reliability.log || { tail -n 40 .venv/reliability.log; exit 1; }
	@echo '| what | clicks | direct | passed | lost | twice | slowest answer |'
	@echo '|---|---|---|---|---|---|---|'
	@sed -n 's/.*figures: //p' .venv/reliability.log

reliability-fleet: $(READY) ## the table of rules/fleet/README.md, with real servers, Sentinels and partitions: half an hour
	@STOREHOP_LONG=1 $(BIN)/python -m pytest -q -s tests/e2e/fleet \
	  > .venv/reliability-fleet.log || { tail -n 40 .venv/reliability-fleet.log; exit 1; }
	@echo '| what | clicks | direct | passed | lost | twice | slowest answer |'
	@echo '|---|---|---|---|---|---|---|'
	@sed -n 's/.*figures: //p' .venv/reliability-fleet.log

restarts: $(READY) ## the table of restarts without a failed request: two minutes
	@STOREHOP_LONG=1 $(BIN)/python -m pytest -q -s tests/e2e/test_handover.py \
	  > .venv/restarts.log || { tail -n 40 .venv/restarts.log; exit 1; }
	@echo '| what | requests | failed | slowest answer |'
	@echo '|---|---|---|---|'
	@sed -n 's/.*restarts: //p' .venv/restarts.log

agreement: $(READY) ## how far ua-parser agrees with what is read from User-Agents (UAP_CORE=path of its fixtures)
	@PYTHONPATH=addon $(BIN)/python -m tests.support.agreement $(UAP_CORE)

corpora: $(READY) ## what is told of the phones in public corpora, true or false, and bots missed (needs npm)
	@test -d $(or $(ADDON),addon)/storehop || { echo "ADDON=$(ADDON): expected a folder with storehop in it" >&2; exit 1; }
	@PYTHONPATH=$(or $(ADDON),addon) $(BIN)/python -m tests.support.corpora $(ISBOT)

hints: $(READY) ## how many clicks of a Chromium have a model, by client_hints
	@$(BIN)/python -m pytest -q -s tests/e2e/test_client_hints_in_chromium.py -k two_clicks \
	  > .venv/hints.log || { tail -n 40 .venv/hints.log; exit 1; }
	@grep --only-matching 'figures: .*' .venv/hints.log

canary-table: $(READY) ## how soon a canary finds a store page that is broken, simulated: a minute
	@PYTHONPATH=addon $(BIN)/python -m tests.support.canary_days

bench: $(READY) ## storehop beside stock mitmdump, a naive addon and nginx, 35 minutes; QUICK=1 for a first idea, ONLY=tls,tail
	@PYTHONPATH=addon $(BIN)/python -m tests.bench $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

bench-fleet: $(READY) ## a host on Redis beside one with a file, what a primary can do, what a call weighs: six minutes
	@$(BIN)/python -m tests.bench.fleet $(if $(QUICK),--quick)

bench-audit: $(READY) ## how fast recordings are audited, and in how much memory: half an hour
	@PYTHONPATH=addon $(BIN)/python -m tests.bench.audit $(if $(QUICK),--quick)

profile: $(READY) ## where the interpreter's time goes for one whole click, by py-spy; ARGS="--kind answer --top 30"
	@PYTHONPATH=addon $(BIN)/python -m tests.bench.profile_host $(ARGS)

cost: $(READY) ## how many instructions of Python a decision takes; make bench says it, too
	@PYTHONPATH=addon $(BIN)/python -m tests.bench.cost

picture: $(READY) ## the pictures of mitmweb and of an audit's page
	STOREHOP_SCREENSHOT=tests/mitmweb.png STOREHOP_AUDIT_SCREENSHOT=tests/audit.png \
	  $(BIN)/python -m pytest -q tests/e2e/test_browser.py tests/audit/test_page_in_chromium.py

check: $(READY) ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=addon $(BIN)/lint-imports

format: $(READY) ## let the formatter do it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## forget what was made
	rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): pyproject.toml $(CONSTRAINTS)
	@test -n "$(PYTHON)" || { echo "storehop needs Python 3.12 or newer; none was found. Try: make PYTHON=/path/to/python3.13" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) --editable '.[dev]' --constraint $(CONSTRAINTS)
	$(BIN)/python -O -m compileall -q -j 0 $(VENV)/lib # `storehop run` is `python -O`: else each start compiles it all
	@touch $@
