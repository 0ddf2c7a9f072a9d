PYTHON ?= python3

.PHONY: demo test clean

demo: .venv/demo.stamp
	.venv/bin/keras-saliency demo

test: .venv/dev.stamp
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/pytest -n 2

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# Built anew when the dependencies may have changed, so that it holds what a new machine gets.
.venv/stamp: pyproject.toml
	$(PYTHON) -m venv --clear .venv
	touch $@

.venv/%.stamp: .venv/stamp
	.venv/bin/pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@
