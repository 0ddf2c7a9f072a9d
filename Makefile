PYTHON ?= python3
PYTHON_OLDEST ?= python3.10

.PHONY: demo check test test-gate test-captum test-oldest test-nightly lowest-versions clean

demo: .venv/demo.stamp
	.venv/bin/keras-saliency demo

# Linter, type checker and fast tests: in between.
check: lint
	.venv/bin/pytest -n 2 -m "not slow and not browser and not gate"

# All tests but the longest. Three processes keep two cores busy while tests wait for others.
test: lint
	.venv/bin/pytest -n 3 -m "not gate"

# The longest tests: the demo, the examples, trainings on several devices and by several processes,
# trackers, the tab in a browser and in TensorBoard.
test-gate: .venv/dev.stamp
	.venv/bin/pytest -n 3 -m gate

.PHONY: lint
lint: .venv/dev.stamp
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

# Methods against captum, in an environment of its own: PyTorch weighs gigabytes.
test-captum: .venv-captum/stamp
	.venv-captum/bin/pytest tests/attributions/test_against_captum.py

# The fast tests with the lowest versions that pyproject.toml allows. Warnings are not errors: old
# versions of a dependency warn about newer versions of others.
test-oldest:
	@if $(PYTHON_OLDEST) --version; \
	then \
		$(MAKE) .venv-oldest/stamp && \
		.venv-oldest/bin/pytest -n 2 -W default -m "not slow and not browser and not gate"; \
	else \
		echo "SKIPPED: there is no $(PYTHON_OLDEST). Pass its path as PYTHON_OLDEST=..."; \
	fi

# The lower bounds of pyproject.toml, as pip's constraints.
lowest-versions:
	@sed -n 's/^ *"\([a-z-]*\)>=\([0-9.]*\)".*/\1==\2/p' pyproject.toml | sort -u

# The fast tests with what Keras and TensorFlow will be. Warnings are not errors: they are news.
test-nightly:
	$(PYTHON) -m venv --clear .venv-nightly
	.venv-nightly/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	.venv-nightly/bin/pip uninstall --quiet --yes keras tensorflow
	.venv-nightly/bin/pip install --quiet --disable-pip-version-check --pre keras-nightly tf-nightly
	.venv-nightly/bin/pytest -n 2 -W default -m "not slow and not browser and not gate"

clean:
	rm -rf .venv .venv-captum .venv-nightly .venv-oldest build dist .mypy_cache .pytest_cache .ruff_cache
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

# TensorBoard 2.18 needs pkg_resources, which newer versions of setuptools no longer have.
.venv-oldest/stamp: pyproject.toml
	$(PYTHON_OLDEST) -m venv --clear .venv-oldest
	$(MAKE) --silent --no-print-directory lowest-versions > .venv-oldest/lowest.txt
	.venv-oldest/bin/pip install --quiet --disable-pip-version-check \
		--constraint .venv-oldest/lowest.txt --editable '.[demo]' \
		'setuptools<81' hypothesis pytest pytest-xdist saliency tf_keras
	touch $@
