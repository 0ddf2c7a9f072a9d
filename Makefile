PYTHON ?= python3

.PHONY: demo check test test-captum clean

demo: .venv/demo.stamp
	.venv/bin/keras-saliency demo

# Linter, type checker and fast tests: in between.
check: lint
	.venv/bin/pytest -n 2 -m "not slow and not browser"

# Everything. Three processes keep two cores busy while tests wait for servers and the browser.
test: lint
	.venv/bin/pytest -n 3

.PHONY: lint
lint: .venv/dev.stamp
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

# Methods against captum, in an environment of its own: PyTorch weighs gigabytes.
test-captum: .venv-captum/stamp
	.venv-captum/bin/pytest tests/attributions/test_against_captum.py

clean:
	rm -rf .venv .venv-captum build dist .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# Built anew when the dependencies may have changed, so that it holds what a new machine gets.
.venv/stamp: pyproject.toml
	$(PYTHON) -m venv --clear .venv
	touch $@

.venv/%.stamp: .venv/stamp
	.venv/bin/pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@

.venv-captum/stamp: pyproject.toml
	$(PYTHON) -m venv --clear .venv-captum
	.venv-captum/bin/pip install --quiet --disable-pip-version-check --editable . pytest torch captum
	touch $@
