# `make` without a target lists all targets.
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench docs services requirements translations clean

BIN := .venv/bin
PROJECT := pyproject.toml scripts/environment

help: ## List the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

demo: .venv/demo.stamp ## Start the example shop (ONCE=1: run through all of it, check it and exit)
	@$(BIN)/python demo/run.py $(if $(ONCE),--once)

test: .venv/dev.stamp ## Run the tests on every database (ARGS="tests/store -k claim", DATABASES=sqlite)
	@DATABASES="$(DATABASES)" scripts/test $(ARGS)

lint: .venv/dev.stamp ## Check style, types, layers and migrations
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@DJANGO_SETTINGS_MODULE=tests.settings.sqlite $(BIN)/python -m django \
		makemigrations --check --dry-run offload --pythonpath .

bench: .venv/dev.stamp .venv-web/bench-web.stamp ## Run the benchmarks, with other task queues (QUICK=1: minutes, not hours)
	-@scripts/services postgresql mariadb redis rabbitmq
	-@command -v wrk >/dev/null || scripts/packages wrk
	@$(BIN)/python benchmarks/run.py $(if $(QUICK),--quick)

docs: .venv/dev.stamp ## Check the links and Python blocks in the documentation
	@$(BIN)/python scripts/check_docs.py

services: ## Start PostgreSQL and MariaDB on loopback, unless they are running
	@scripts/services

requirements: .venv/dev.stamp ## Compile requirements/*.in to pinned and hashed files (UPGRADE=1: newest versions)
	@scripts/pin $(if $(UPGRADE),--upgrade)

translations: .venv/dev.stamp ## Collect and compile translatable strings, after they have changed
	@scripts/translations

clean: ## Remove caches and build artifacts
	@rm -rf build dist htmlcov .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

.venv/demo.stamp: requirements/demo.txt $(PROJECT)
	@scripts/environment .venv demo

.venv/dev.stamp: requirements/dev.txt requirements/mariadb.txt $(PROJECT)
	@scripts/environment .venv dev

.venv-django60/dev-django60.stamp: requirements/dev-django60.txt $(PROJECT)
	@scripts/environment .venv-django60 dev-django60

.venv-web/bench-web.stamp: requirements/bench-web.txt $(PROJECT)
	@scripts/environment .venv-web bench-web
