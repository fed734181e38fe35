# What there is to do here; `make` alone lists it.

PYTHON := .venv/bin/python
BINARIES := $${CARGO_TARGET_DIR:-target}/debug

.PHONY: help setup build demo up test drill bench check guard package sam fmt clean

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1|/p' Makefile | while IFS='|' read -r name text; do \
		printf '%-14s %s\n' "$$name" "$$text"; done

setup: ## make .venv and .postgres, with what the local stack and the checks use
	@tests/setup

build: ## compile the functions and the local stack
	cargo build --locked --workspace --bins

demo: setup build ## the whole story in a minute: sell, back up, lose the database, get it back
	@"$(BINARIES)/demo"

up: setup build ## start the local stack and keep it until Ctrl-C; addresses go to target/stack/env
	@"$(BINARIES)/up"

test: setup build ## run every test; the last line is the sum
	@$(PYTHON) tests/check/run_tests.py --locked --workspace --tests --no-fail-fast

drill: setup build ## lose the database in the middle of work and bring back a thousand recorded instants; options with ARGS=
	@"$(BINARIES)/drill" $(ARGS)

bench: setup ## measure against the peers, into bench/results.json; one part with ONLY=webhook, options with ARGS=
	nice cargo build --locked --release --bin webhook --bin backup --bin verify --bin restore --bin reconcile --bin echo_function --bin bench
	@"$${CARGO_TARGET_DIR:-target}/release/bench" $(ONLY) $(ARGS)

check: setup ## what has to hold before the tests: format, lints, docs, licences, infrastructure, tidiness
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
	sh -n tests/setup
	bash -n .ci/run
	$(PYTHON) tests/check/dependencies.py
	$(PYTHON) tests/check/tidy.py
	SAM_CLI_TELEMETRY=0 .venv/bin/sam validate --lint --template infra/template.yaml --region eu-central-1
	$(PYTHON) tests/check/translate.py target/check/template.json
	.venv/bin/cfn-lint infra/template.yaml infra/aurora.yaml target/check/template.json
	$(PYTHON) tests/check/template.py
	$(PYTHON) tests/check/template.py --breaks
	$(PYTHON) tests/check/parameters.py
	$(PYTHON) tests/check/aurora.py
	$(PYTHON) tests/check/aurora.py --breaks
	$(PYTHON) tests/check/cost.py
	$(PYTHON) tests/check/build.py
	$(PYTHON) tests/check/build.py --breaks

# Its own folder: what it needs of AWS's libraries is not what the AWS CLI needs. It takes minutes to install, which is
# why `make check` leaves it out; the public CI runs it (.github/workflows).
CHECKOV := .venv/checkov

guard: setup ## checkov's rules over the templates; each exception stands beside its resource, with a reason
	@[ -e $(CHECKOV)/.installed ] || { rm -rf $(CHECKOV) && $(PYTHON) -m pip install --quiet \
		--disable-pip-version-check --target $(CHECKOV) checkov==3.3.30 && touch $(CHECKOV)/.installed; }
	PYTHONPATH=$(CHECKOV) $(PYTHON) -m checkov.main --framework cloudformation --skip-download --compact --quiet \
		--directory infra

package: setup ## one zip for each function with its SHA-256, into target/package
	cargo build --locked --release $$($(PYTHON) tests/check/package.py --functions | sed 's/^/--bin /')
	$(PYTHON) tests/check/package.py "$${CARGO_TARGET_DIR:-target}/release" target/package

# With tools of its own, as on a machine that never saw the repository: what README deploys, for minutes. The public CI
# runs it (.github/workflows).
SAM := target/sam

sam: ## build every function by `sam build`, as README deploys it, and pack what comes of it into target/package
	@[ -e $(SAM)/.installed ] || { rm -rf $(SAM) && python3 -m venv $(SAM) && $(SAM)/bin/python -m pip install --quiet \
		--disable-pip-version-check -r infra/requirements.txt && touch $(SAM)/.installed; }
	PATH="$$PWD/$(SAM)/bin:$$PATH" SAM_CLI_TELEMETRY=0 sam build
	$(SAM)/bin/python tests/check/package.py .aws-sam/build target/package

fmt: ## format the Rust code
	cargo fmt --all

clean: ## remove everything that was built or set up
	rm -rf target .venv .postgres .aws-sam
